"""From the event loop to worker threads and back, cheaply: the driver is synchronous, the servers are not.

`loop.run_in_executor` builds a concurrent Future beside the asyncio one and chains the two: 80-90 us of CPU a call at
16 in flight, against 15-40 for one asyncio Future and a queue. Waking the loop once for several results gained
nothing beyond that.
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
    """Runs a blocking function elsewhere; await its result. `ThreadPool.run`, as the layers above know it."""

    def __call__(self, function: Callable[[*Ts], T], *arguments: *Ts) -> Awaitable[T]: ...


class ThreadRunner(Protocol):
    """`ThreadPool`, as the layers above know them."""

    @property
    def run(self) -> RunInThread: ...


class ThreadPool:
    """A fixed number of worker threads, used from one event loop.

    Args:
        count: calls that may run at once.
        waiting: calls that may wait for a thread beyond these; one more is refused.
        name: what the threads are called in a debugger.
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
        """Calls that run or wait."""
        return len(self._pending)

    def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> "asyncio.Future[T]":
        """Calls `function(*arguments)` in a thread, under the caller's context variables; await the result.

        A caller that stops waiting does not stop a call that has begun; one that has not begun is dropped.

        Raises:
            Overloaded: too many calls are waiting.
            EventServiceError: what `suspend` or `close` was given.
        """
        if self._refusing is not None:
            raise self._refusing.again()
        if len(self._pending) >= self._limit:
            raise Overloaded("Too many reads at once; send again.", retry_after=0.2)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        self._calls.put((future, copy_context(), function, arguments))
        return future

    def suspend(self, error: EventServiceError) -> None:
        """Answers all calls with `error`, those that run or wait now and new ones, until `resume`.

        For when the database is known to be away: nobody waits for a socket that will not answer. ThreadPool that are
        stuck in a call come back when its own time limit ends it.
        """
        self._refusing = error
        for future in list(self._pending):
            if not future.done():
                future.set_exception(error.again())

    def resume(self) -> None:
        """Ends `suspend`, but not `close`."""
        if not self._closed:
            self._refusing = None

    def close(self) -> None:
        """Answers what is left as Unavailable and lets the threads end. Does not wait for calls that run."""
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
                except BaseException as error:  # whatever it is, it belongs to the caller
                    self._answer(future, _set_exception, error)
                else:
                    self._answer(future, _set_result, value)
                    del value
            del call, future, context, function, arguments  # keep nothing alive while waiting

    @staticmethod
    def _answer(future: "asyncio.Future[Any]", setter: Callable[..., None], outcome: Any) -> None:
        try:
            future.get_loop().call_soon_threadsafe(setter, future, outcome)
        except RuntimeError:  # the loop was closed meanwhile: nobody is waiting
            return


def _set_result(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _set_exception(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        # A StopIteration cannot be set on a future; nothing in the store raises one on purpose.
        future.set_exception(RuntimeError(str(error)) if isinstance(error, StopIteration) else error)
