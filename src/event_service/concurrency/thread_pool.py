"""Run blocking functions in worker threads: the MongoDB driver is synchronous, the servers are not.

`loop.run_in_executor` chains a concurrent Future to an asyncio one: 80-90 us of CPU a call at 16 in flight, against
15-40 us for one asyncio Future and a queue. Waking the loop once for several results gained nothing more.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, TypeVarTuple

from event_service.errors import EventServiceError, Overloaded, Unavailable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_Call = tuple["asyncio.Future[Any]", Context, Callable[..., Any], tuple[Any, ...]]


class RunInThread(Protocol):
    """`ThreadPool.run`, or a substitute: run a blocking function; await its result."""

    def __call__(self, function: Callable[[*Ts], T], *arguments: *Ts) -> Awaitable[T]: ...


class ThreadPool:
    """A fixed number of worker threads, used from one event loop.

    Args:
        count: calls that run concurrently.
        waiting: calls that may wait for a thread beyond these; one more is refused.
        name: prefix of the thread names.
    """

    def __init__(self, count: int, *, waiting: int = 1024, name: str = "store") -> None:
        self._limit = count + waiting
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._pending: set[asyncio.Future[Any]] = set()
        self._refusing: EventServiceError | None = None
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pending(self) -> int:
        """Calls that run or wait for a thread."""
        return len(self._pending)

    def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> "asyncio.Future[T]":
        """Call `function(*arguments)` in a thread with the caller's context variables; await the result.

        Cancelling the future drops the call, unless it has begun.

        Raises:
            Overloaded: too many calls are waiting.
            EventServiceError: the pool is suspended or closed.
        """
        if self._refusing is not None:
            raise self._refusing.again()
        if len(self._pending) >= self._limit:
            raise Overloaded("Too many concurrent reads; send again.", retry_after=0.2)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        self._calls.put((future, copy_context(), function, arguments))
        return future

    def suspend(self, error: EventServiceError) -> None:
        """Fail all calls with `error`, pending and new ones, until `resume`.

        Used while the database is down, so that no caller waits for a socket that will not answer. A thread that is
        stuck in a call returns when the call's own time limit ends it.
        """
        self._refusing = error
        for future in list(self._pending):
            if not future.done():
                future.set_exception(error.again())

    def resume(self) -> None:
        """End `suspend`, but not `close`."""
        if not self._closed:
            self._refusing = None

    def close(self) -> None:
        """Fail all calls as Unavailable and let the threads end, without waiting for running calls."""
        self._closed = True
        self.suspend(Unavailable("The service is stopping; send again."))
        for _ in self._threads:
            self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, context, function, arguments = call
            if not future.done():
                try:
                    value = context.run(function, *arguments)
                except BaseException as error:  # it belongs to the caller
                    self._answer(future, _set_exception, error)
                else:
                    self._answer(future, _set_result, value)
                    del value
            del call, future, context, function, arguments  # keep nothing alive while waiting

    @staticmethod
    def _answer(future: "asyncio.Future[Any]", setter: Callable[..., None], outcome: Any) -> None:
        try:
            future.get_loop().call_soon_threadsafe(setter, future, outcome)
        except RuntimeError:  # the loop was closed meanwhile
            return


def _set_result(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _set_exception(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        # A future refuses a StopIteration.
        future.set_exception(RuntimeError(str(error)) if isinstance(error, StopIteration) else error)
