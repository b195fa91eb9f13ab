"""The replies of a server-streaming call: sent as fast as the caller reads, and to nobody who does not read at all."""

import asyncio
from collections.abc import Awaitable, Callable

from event_service.errors import Overloaded, Unavailable
from event_service.rpc.admission import STOPPING, Admission

UNREAD_SECONDS = 30.0
"""A caller that leaves a reply unread for longer is cut off: it holds the place of a call, and a page of events."""


class Outbox:
    """The replies of one call.

    Args:
        write: sends one; returns when HTTP/2 has taken it, for which the caller must have read what came before.
        admission: says when the server stops.
    """

    def __init__(
        self, write: Callable[[bytes], Awaitable[None]], admission: Admission, *, unread: float = UNREAD_SECONDS
    ) -> None:
        self._write = write
        self._admission = admission
        self._unread = unread

    async def send(self, message: bytes) -> None:
        """Sends one reply.

        Raises:
            Overloaded: the caller does not read.
            Unavailable: the server is stopping.
        """
        self.check()
        try:
            async with asyncio.timeout(self._unread):
                await self._write(message)
        except TimeoutError:
            raise Overloaded(f"Nothing was read for {self._unread:g} s; go on from the last token.") from None

    def check(self) -> None:
        """
        Raises:
            Unavailable: the server is stopping.
        """
        if self._admission.stopping:
            raise Unavailable(STOPPING)
