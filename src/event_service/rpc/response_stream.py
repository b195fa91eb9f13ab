"""The replies of a server-streaming call: sent as fast as the caller reads, to nobody who does not read at all, and to
nobody whose token has ended meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable

from event_service.errors import Overloaded, Unavailable
from event_service.rpc.concurrency_limit import STOPPING, Admission

UNREAD_SECONDS = 30.0
"""A caller that leaves a reply unread for longer is cut off: it holds the place of a call, and a page of events."""


class ResponseStream:
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
        self._still_allowed: Callable[[], object] = lambda: None

    def require(self, still_allowed: Callable[[], object]) -> None:
        """Has the caller asked for again before each reply: a stream may last longer than the token it began with.

        Args:
            still_allowed: raises Unauthenticated once it does not hold any more.
        """
        self._still_allowed = still_allowed

    async def send(self, message: bytes) -> None:
        """Sends one reply.

        Raises:
            Overloaded: the caller does not read.
            Unauthenticated, Unavailable: as `check`.
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
            Unauthenticated: the caller's token has ended, or the key that signed it.
        """
        if self._admission.stopping:
            raise Unavailable(STOPPING)
        self._still_allowed()
