"""Run blocking functions in worker threads: the MongoDB driver is synchronous, the servers are not.

`loop.run_in_executor` chains a concurrent Future to an asyncio one: 80-90 us of CPU a call at 16 in flight, against
15-40 us for one asyncio Future and a queue. Waking the loop once for several results gained nothing more.

Calls are made for a key, such as a domain. One key has at most its share of the threads, and calls that wait are begun
in turns of the keys: slow calls of one delay the others by less than one of them.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context, copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, TypeVarTuple

from event_service.concurrency.fair_queue import FairQueue
from event_service.concurrency.shares import Shares
from event_service.errors import EventServiceError, Overloaded, Unavailable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_Call = tuple["asyncio.Future[Any]", Context, Callable[..., Any], tuple[Any, ...]]


class RunInThread(Protocol):
    """`ThreadPool.run`, or a substitute: run a blocking function; await its result."""

    def __call__(self, function: Callable[[*Ts], T], *arguments: *Ts) -> Awaitable[T]: ...


class RunInThreadFor(Protocol):
    """`ThreadPool.run_for`, or a substitute: as `RunInThread`, for a key."""

    def __call__(self, key: Hashable, function: Callable[[*Ts], T], *arguments: *Ts) -> Awaitable[T]: ...


class ThreadPool:
    """A fixed number of worker threads, used from one event loop.

    Args:
        count: calls of one key that run concurrently.
        threads: of all keys; twice as many by default. See `Shares` for what a key may have of them.
        waiting: calls of one key that may wait for a thread beyond these; one more is refused.
        name: prefix of the thread names.
    """

    def __init__(self, count: int, *, threads: int | None = None, waiting: int = 1024, name: str = "store") -> None:
        threads = 2 * count if threads is None else threads
        self._calls: SimpleQueue[tuple[Hashable, _Call] | None] = SimpleQueue()  # there is a thread for each
        self._lock = threading.Lock()  # of the next two
        self._running = Shares(threads)
        self._waiting: FairQueue[Hashable, _Call] = FairQueue()
        self._pending: set[asyncio.Future[Any]] = set()
        self._pending_of = Shares(2 * (count + waiting))
        self._refusing: EventServiceError | None = None
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pending(self) -> int:
        """Calls that run or wait for a thread."""
        return len(self._pending)

    def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> "asyncio.Future[T]":
        """Call a function for no key in particular. See `run_for`."""
        return self.run_for("", function, *arguments)

    def run_for(self, key: Hashable, function: Callable[[*Ts], T], *arguments: *Ts) -> "asyncio.Future[T]":
        """Call `function(*arguments)` in a thread with the caller's context variables; await the result.

        Cancelling the future drops the call, unless it has begun.

        Args:
            key: whom the call is for, such as a domain.

        Raises:
            Overloaded: too many calls are waiting.
            EventServiceError: the pool is suspended or closed.
        """
        if self._refusing is not None:
            raise self._refusing.again()
        if not self._pending_of.fits(key):
            raise Overloaded("Too many concurrent reads; send again.", retry_after=0.2)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.add(future)
        self._pending_of.take(key)
        future.add_done_callback(partial(self._done, key))
        call = (future, copy_context(), function, arguments)
        with self._lock:
            begins = self._running.fits(key)
            if begins:
                self._running.take(key)
            else:
                self._waiting.put(key, call)
        if begins:
            self._calls.put((key, call))
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

    def _done(self, key: Hashable, future: "asyncio.Future[Any]") -> None:
        self._pending.discard(future)
        self._pending_of.give_back(key)

    def _work(self) -> None:
        while (work := self._calls.get()) is not None:
            while work is not None:
                key, call = work
                self._call(*call)
                del work, call  # keep nothing alive while waiting
                work = self._next(key)

    def _call(
        self,
        future: "asyncio.Future[Any]",
        context: Context,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> None:
        if future.done():
            return
        try:
            value = context.run(function, *arguments)
        except BaseException as error:  # it belongs to the caller
            self._answer(future, _set_exception, error)
        else:
            self._answer(future, _set_result, value)

    def _next(self, done: Hashable) -> tuple[Hashable, _Call] | None:
        """Return the call that a thread begins after one of that key; None to wait for one."""
        mine: tuple[Hashable, _Call] | None = None
        with self._lock:
            self._running.give_back(done)
            # A thread that is given back may let two begin, where another has been idle.
            while (found := self._waiting.get(self._running.fits)) is not None:
                self._running.take(found[0])
                if mine is None:
                    mine = found
                else:
                    self._calls.put(found)
        return mine

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
