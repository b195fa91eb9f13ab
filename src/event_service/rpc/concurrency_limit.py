"""How much may be under way, in calls and in bytes, and how it ends when the server stops.

grpc.aio has a bound of its own (`maximum_concurrent_rpcs`), but it counts calls that were cancelled for ever.
"""

import asyncio
from collections.abc import Callable

from event_service.errors import Overloaded, Unavailable
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import Handler

_SEND_AGAIN_SECONDS = 0.5
_TOO_MUCH = "Too many calls are under way; send again later."

STOPPING = "The server is stopping; send again, to another one if there is one."
"""What callers are told then."""


class Admission:
    """The interceptor that lets a call in or refuses it at once. One for all methods, used on one event loop.

    Args:
        max_calls: calls under way at once.
        max_bytes: bytes of their requests, in all; a single request may be larger than that when it is alone.
    """

    def __init__(self, max_calls: int, max_bytes: int) -> None:
        self._max_calls = max_calls
        self._max_bytes = max_bytes
        self._calls: set[asyncio.Task[object]] = set()
        self._bytes = 0
        self._stopping = False
        self._cut_off = False
        self._nothing_left = asyncio.Event()
        self._listeners: set[Callable[[], None]] = set()

    @property
    def stopping(self) -> bool:
        """Whether nothing is taken any more."""
        return self._stopping

    @property
    def under_way(self) -> int:
        """Calls that have been let in and not been answered yet."""
        return len(self._calls)

    async def __call__(self, request: bytes, call: RpcContext, proceed: Handler) -> bytes:
        """
        Raises:
            Overloaded: the bound is reached; nothing was done.
            Unavailable: the server is stopping.
        """
        if self._stopping:
            raise Unavailable(STOPPING)
        calls, size = self._calls, len(request)
        if len(calls) >= self._max_calls or (calls and self._bytes + size > self._max_bytes):
            raise Overloaded(_TOO_MUCH, retry_after=_SEND_AGAIN_SECONDS)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        calls.add(task)
        self._bytes += size
        try:
            return await proceed(request, call)
        except asyncio.CancelledError:
            if self._cut_off:
                raise Unavailable(STOPPING) from None
            raise
        finally:
            self._bytes -= size
            calls.discard(task)
            if self._stopping and not calls:
                self._nothing_left.set()

    def hold(self, size: int) -> None:
        """Counts bytes that have come in beside a request, until `release`.

        Raises:
            Overloaded: there is no room; they are not counted.
        """
        if self._bytes and self._bytes + size > self._max_bytes:
            raise Overloaded(_TOO_MUCH, retry_after=_SEND_AGAIN_SECONDS)
        self._bytes += size

    def release(self, size: int) -> None:
        """Ends `hold`."""
        self._bytes -= size

    def listen(self, told: Callable[[], None]) -> None:
        """Has `told` called when the server begins to stop."""
        self._listeners.add(told)

    def ignore(self, told: Callable[[], None]) -> None:
        """Ends `listen`."""
        self._listeners.discard(told)

    async def drain(self, seconds: float) -> int:
        """Refuses what comes from now on, waits for what is under way, and cuts off what is left after `seconds`.

        What is cut off is answered Unavailable: nothing is promised about it.

        Returns:
            how many calls were cut off.
        """
        self._stopping = True
        for told in list(self._listeners):
            told()
        if not self._calls:
            return 0
        try:
            async with asyncio.timeout(seconds):
                await self._nothing_left.wait()
        except TimeoutError:
            left = list(self._calls)
            if not left:  # the last one has ended with the time
                return 0
            self._cut_off = True
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1)
            return len(left)
        return 0
