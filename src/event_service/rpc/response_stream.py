"""The replies of a server-streaming call, with flow control: slow readers and expired tokens end the stream."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc

from event_service.errors import Overloaded, Unavailable
from event_service.rpc.concurrency_limit import STOPPING, ConcurrencyLimit

WRITE_TIMEOUT_SECONDS = 30.0
"""Time that a reply may stay unread: a slow reader occupies a call and the memory of a page of events."""


class ResponseStream:
    """The replies of one call.

    Args:
        write: sends one reply; returns once HTTP/2 flow control admits it, after the caller has read earlier ones.
        limit: signals that the server is stopping.
        write_timeout: seconds.
    """

    def __init__(
        self,
        write: Callable[[bytes], Awaitable[None]],
        limit: ConcurrencyLimit,
        *,
        write_timeout: float = WRITE_TIMEOUT_SECONDS,
    ) -> None:
        self._write = write
        self._limit = limit
        self._write_timeout = write_timeout
        self._revalidate: Callable[[], object] = lambda: None

    def revalidate_with(self, revalidate: Callable[[], object]) -> None:
        """Authenticate the caller again before each reply: a stream may outlive its token.

        Args:
            revalidate: raises Unauthenticated once the token is no longer valid.
        """
        self._revalidate = revalidate

    async def send(self, message: bytes) -> None:
        """Send one reply.

        Raises:
            Overloaded: the caller does not read.
            Unavailable: the connection was lost.
            Unauthenticated, Unavailable: as `check`.
        """
        self.check()
        try:
            async with asyncio.timeout(self._write_timeout):
                await self._write(message)
        except grpc.aio.InternalError:  # so grpc reports a connection that was lost during the write
            raise Unavailable("The connection was lost.") from None
        except TimeoutError:
            raise Overloaded(
                f"No reply was read for {self._write_timeout:g} s; resume from the last resume_token."
            ) from None

    def check(self) -> None:
        """Raise the error that `send` would raise; for streams with nothing to send.

        Raises:
            Unavailable: the server is stopping.
            Unauthenticated: the caller's token has expired, or its key was removed.
        """
        if self._limit.stopping:
            raise Unavailable(STOPPING)
        self._revalidate()
