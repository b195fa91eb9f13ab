"""The limits on calls and request bytes in flight, and the draining of calls when the server stops.

grpc.aio's own limit (`maximum_concurrent_rpcs`) never forgets cancelled calls, so it cannot be used.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from event_service.errors import Overloaded, Unavailable

_RETRY_SECONDS = 0.5
_OVERLOADED = "Too many calls are in flight; send again later."

STOPPING = "The server is stopping; send again, to another replica if there is one."
"""Error text of calls that a stopping server refuses or cancels."""

ContextT = TypeVar("ContextT")


class ConcurrencyLimit:
    """The interceptor that admits a call or refuses it immediately. One for all methods, used on one event loop.

    Args:
        max_calls: calls in flight.
        max_bytes: bytes of their requests together; a larger single request is admitted when it is alone.
    """

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._calls: set[asyncio.Task[object]] = set()
        self._bytes = 0
        self._stopping = False
        self._cancelled = False
        self._drained = asyncio.Event()
        self._stop_listeners: set[Callable[[], None]] = set()

    @property
    def stopping(self) -> bool:
        """True once the server refuses new calls."""
        return self._stopping

    @property
    def in_flight(self) -> int:
        """Number of calls admitted and not answered yet."""
        return len(self._calls)

    async def __call__(
        self, request: bytes, context: ContextT, call_next: Callable[[bytes, ContextT], Awaitable[bytes]]
    ) -> bytes:
        """Pass the call on within the limits.

        Raises:
            Overloaded: a limit is reached; nothing was done.
            Unavailable: the server is stopping.
        """
        if self._stopping:
            raise Unavailable(STOPPING)
        calls, size = self._calls, len(request)
        if len(calls) >= self._max_calls or (calls and self._bytes + size > self._max_bytes):
            raise Overloaded(_OVERLOADED, retry_after=_RETRY_SECONDS)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        calls.add(task)
        self._bytes += size
        try:
            return await call_next(request, context)
        except asyncio.CancelledError:
            if self._cancelled:
                raise Unavailable(STOPPING) from None
            raise
        finally:
            self._bytes -= size
            calls.discard(task)
            if self._stopping and not calls:
                self._drained.set()

    def reserve(self, size: int) -> None:
        """Count the bytes of a streamed message until `release`.

        Raises:
            Overloaded: the limit is reached; they are not counted.
        """
        if self._bytes and self._bytes + size > self._max_bytes:
            raise Overloaded(_OVERLOADED, retry_after=_RETRY_SECONDS)
        self._bytes += size

    def release(self, size: int) -> None:
        """Give back bytes that `reserve` counted."""
        self._bytes -= size

    def add_stop_listener(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the server begins to stop."""
        self._stop_listeners.add(callback)

    def remove_stop_listener(self, callback: Callable[[], None]) -> None:
        """Undo `add_stop_listener`."""
        self._stop_listeners.discard(callback)

    async def drain(self, seconds: float) -> int:
        """Refuse new calls, wait for those in flight, and cancel those left after `seconds`.

        Cancelled calls are answered Unavailable: their writes may or may not have happened.

        Returns:
            The number of cancelled calls.
        """
        self._stopping = True
        for callback in list(self._stop_listeners):
            callback()
        if not self._calls:
            return 0
        try:
            async with asyncio.timeout(seconds):
                await self._drained.wait()
        except TimeoutError:
            left = list(self._calls)
            if not left:  # the last call ended just as the time ran out
                return 0
            self._cancelled = True
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1)
            return len(left)
        return 0
