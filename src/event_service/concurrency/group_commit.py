"""Natural group commit: what is queued while a write is in flight is the next batch.

No timer: an idle writer writes at once, a busy one takes along whatever has come in meanwhile. The queue's bound is
the admission limit of creates.

    event loop   submit > queue
    writer       queue > batch > commit (blocking, one at a time) > outcomes
    event loop   one wake-up a batch > each caller its own outcome
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from event_service.errors import EventServiceError, Internal, Overloaded, Unavailable

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")

log = logging.getLogger(__name__)


class Retry(Enum):
    """What a commit answers for an item that it could not finish: it comes first in the next batch."""

    RETRY = "defer"


RETRY = Retry.RETRY

Commit: TypeAlias = Callable[[Sequence[Request]], Sequence[Outcome | Exception | Retry]]

COMMIT_SECONDS = 1.8
"""Time limit of one batch, all its steps together, so that a caller is answered within 2 s."""

_MOST_DEFERRALS = 64  # of one item; then something is wrong, and the caller had better send again
_SECONDS_PER_REQUEST = 0.01  # what a request that is heavier than a batch may take beyond COMMIT_SECONDS
_SECONDS_PER_BYTE = 1e-7  # the same for one that has more bytes
_PAUSE_AFTER_ALL_DEFERRED = 0.002  # seconds: whoever was faster needs a moment to finish
_LEAST_RETRY, _MOST_RETRY = 0.05, 5.0  # seconds
_FEW = 8
_MANY = 32  # events; from here on a batch tells more of them than of its commit
_FIRST_GUESS = 0.001  # seconds for an event


class _Item(Generic[Request]):
    __slots__ = ("count", "deferred", "dropped", "future", "request", "size")

    def __init__(self, request: Request, size: int, count: int, future: "asyncio.Future[Any]") -> None:
        self.request = request
        self.size = size
        self.count = count
        self.future = future
        self.deferred = 0
        self.dropped = False


class _ThroughputEstimate:
    """How long writing takes, by the last batches: so much for each commit, and so much more for each event in it."""

    def __init__(self) -> None:
        self._commit_seconds, self._event_seconds = 0.0, _FIRST_GUESS
        self._seconds, self._count = 0.1, 100.0

    def wait(self, count: int, batch_count: int) -> float:
        """Seconds until that many events are written, in full batches."""
        return count * (self._event_seconds + self._commit_seconds / batch_count)

    def within(self, seconds: float) -> int:
        """How many events surely fit into a commit of that time, were all of it theirs; a few at least, to learn."""
        return max(_FEW, int(seconds * self._count / self._seconds))

    def take_note(self, seconds: float, count: int) -> None:
        self._seconds = 0.9 * self._seconds + seconds
        self._count = 0.9 * self._count + count
        # Normalised least mean squares: small batches tell how long a commit takes, large ones how long an event does.
        surprise = seconds - self._commit_seconds - count * self._event_seconds
        step = 0.3 * surprise / (1 + (count / _MANY) ** 2)
        self._commit_seconds = max(0.0, self._commit_seconds + step)
        self._event_seconds = max(0.0, self._event_seconds + step * count / _MANY**2)


class GroupCommit(Generic[Request, Outcome]):
    """Collects requests of one event loop into batches and has them written by one thread.

    Args:
        commit: writes a batch and says for each member how it went. Called in the writer's thread, under
            `time_limit(COMMIT_SECONDS)`, or more for a request that is larger than a whole batch. If it raises, every
            member of the batch gets that error, and the writer goes on with the next batch.
        size_of: bytes a request adds to a batch.
        count_of: events it adds to a batch.
        queue_items, queue_bytes: what may wait; beyond it `submit` refuses.
        batch_count, batch_bytes: what one commit takes at most. A request that is larger alone is a batch of its own.
            On a slow database it takes less: what should be done in half of the time limit.
        longest_wait: seconds. What would wait longer, by the pace of the last batches, is refused as well, unless
            there is less than a batch before it: an answer that comes too late is work for nothing.
        time_limit: bounds the database calls made inside it to that many seconds.
    """

    def __init__(
        self,
        commit: Commit[Request, Outcome],
        *,
        size_of: Callable[[Request], int] = lambda _: 0,
        count_of: Callable[[Request], int] = lambda _: 1,
        queue_items: int = 4096,
        queue_bytes: int = 256 * 1024 * 1024,
        batch_count: int = 256,
        batch_bytes: int = 16 * 1024 * 1024,
        longest_wait: float = 2.0,
        time_limit: Callable[[float], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._commit = commit
        self._time_limit = time_limit
        self._size_of = size_of
        self._count_of = count_of
        self._queue_items = queue_items
        self._queue_bytes = queue_bytes
        self._batch_count = batch_count
        self._batch_bytes = batch_bytes
        self._longest_wait = longest_wait
        self._queue: SimpleQueue[_Item[Request] | None] = SimpleQueue()
        self._next: deque[_Item[Request]] = deque()  # taken from the queue, or deferred, but not written yet
        self._open: set[_Item[Request]] = set()  # submitted and not answered; only the event loop touches these two
        self._open_bytes = 0
        self._open_count = 0
        self._last_success_at = float("-inf")
        self._pace = _ThroughputEstimate()
        self._refusing: EventServiceError | None = None
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Requests that are not answered yet, those in the batch being written included."""
        return len(self._open)

    @property
    def depth_bytes(self) -> int:
        """The same in bytes."""
        return self._open_bytes

    @property
    def last_success_at(self) -> float:
        """When a commit last went well, in seconds of `time.monotonic`."""
        return self._last_success_at

    def check(self, size: int = 0) -> None:
        """Says what `submit` would say to a request of that many bytes, before anybody has taken pains over it.

        Raises:
            Overloaded, Unavailable: as `submit`.
        """
        if self._refusing is not None:
            raise self._refusing.again()
        wait = self._pace.wait(self._open_count, self._batch_count)
        if self._open and (
            len(self._open) >= self._queue_items
            or self._open_bytes + size > self._queue_bytes
            or (wait > self._longest_wait and self._open_count >= self._batch_count)
        ):
            raise Overloaded(
                "Too many events are waiting to be written; send again.",
                retry_after=min(max(wait / 2, _LEAST_RETRY), _MOST_RETRY),
            )

    def submit(self, request: Request) -> "asyncio.Future[Outcome]":
        """Queues a request; await its outcome.

        A caller that stops waiting does not stop the write: whether it took place is then not known.

        Raises:
            Overloaded: the queue is full; `retry_after` says when there will be room.
            Unavailable: the writer is closing, or the database is known to be away.
            EventServiceError: what the commit found, for this request or for its batch.
        """
        size, count = self._size_of(request), self._count_of(request)
        self.check(size)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = self._loop.create_future()
        item = _Item(request, size, count, future)
        self._open.add(item)
        self._open_bytes += size
        self._open_count += count
        self._idle.clear()
        self._queue.put(item)
        return future

    def suspend(self, error: EventServiceError) -> None:
        """Answers everything with `error`, what is queued now and what is new, until `resume`.

        For when the database is known to be away. What is queued is not written any more; whether the batch under way
        was, is not known.
        """
        self._refusing = error
        self._give_up(error)

    def resume(self) -> None:
        """Ends `suspend`, but not `close`."""
        if not self._closed:
            self._refusing = None

    async def close(self, grace: float) -> None:
        """Takes nothing more, writes what is queued, and ends.

        Args:
            grace: seconds; what is not written by then is answered Unavailable.
        """
        stopping = Unavailable("The service is stopping; send again.")
        self._closed = True
        self._refusing = stopping
        if self._open:
            try:
                await asyncio.wait_for(self._idle.wait(), grace)
            except TimeoutError:
                log.warning("stopped with creates unanswered", extra={"creates": len(self._open)})
        finished = not self._open
        self._queue.put(None)
        self._give_up(stopping)
        if finished:
            await asyncio.to_thread(self._thread.join)

    # --- in the writer's thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._take():
            self._write(batch)
            del batch  # or it is kept until the next one comes

    def _take(self) -> list[_Item[Request]]:
        """The next batch; waits for its first item. Empty once the writer is closed and nothing is left."""
        batch: list[_Item[Request]] = []
        size = count = 0
        most = min(self._batch_count, self._pace.within(COMMIT_SECONDS / 2))
        while count < most:
            if self._next:
                item = self._next.popleft()
            else:
                try:
                    taken = self._queue.get(block=not batch)
                except Empty:
                    break
                if taken is None:
                    self._queue.put(None)  # found again by the next call, when this batch is written
                    break
                item = taken
            if item.dropped:
                continue
            if batch and (size + item.size > self._batch_bytes or count + item.count > most):
                self._next.appendleft(item)
                break
            batch.append(item)
            size += item.size
            count += item.count
        return batch

    def _write(self, batch: list[_Item[Request]]) -> None:
        started = time.monotonic()
        count = sum(item.count for item in batch)
        size = sum(item.size for item in batch)
        longer = max(count - self._batch_count, 0) * _SECONDS_PER_REQUEST
        longer += max(size - self._batch_bytes, 0) * _SECONDS_PER_BYTE
        try:
            with self._time_limit(COMMIT_SECONDS + longer):
                outcomes = self._commit([item.request for item in batch])
            if len(outcomes) != len(batch):
                raise AssertionError("a commit must answer every request of its batch")  # noqa: TRY301
        except Unavailable as error:
            # Nobody waits longer than one failing write: what queued up behind it would only fail after it.
            self._answer([*batch, *self._drain()], error)
        except EventServiceError as error:
            self._answer(batch, error)
        except Exception:
            log.exception("a batch failed in a way that nobody has foreseen")
            self._answer(batch, Internal("The event could not be stored."))
        else:
            self._last_success_at = time.monotonic()
            self._sort_out(batch, outcomes)
        self._pace.take_note(time.monotonic() - started, count)

    def _sort_out(self, batch: list[_Item[Request]], outcomes: Sequence[Outcome | Exception | Retry]) -> None:
        """Answers what is decided and keeps what is deferred."""
        answered: list[_Item[Request]] = []
        answers: list[Outcome | Exception] = []
        deferred: list[_Item[Request]] = []
        for item, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Retry):
                answered.append(item)
                answers.append(outcome)
            elif item.deferred < _MOST_DEFERRALS:
                item.deferred += 1
                deferred.append(item)
            else:
                answered.append(item)
                answers.append(Unavailable("The event could not be tied to its alert in time; send again."))
        self._next.extendleft(reversed(deferred))
        self._answer(answered, answers)
        if not answered:
            time.sleep(_PAUSE_AFTER_ALL_DEFERRED)

    def _drain(self) -> list[_Item[Request]]:
        drained = list(self._next)
        self._next.clear()
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return drained
            if item is None:
                self._queue.put(None)
                return drained
            drained.append(item)

    def _answer(self, items: list[_Item[Request]], answers: Sequence[Outcome | Exception] | EventServiceError) -> None:
        """Wakes the event loop once, for all of them."""
        if not items or self._loop is None:
            return
        if isinstance(answers, EventServiceError):
            answers = [answers.again() for _ in items]
        try:
            self._loop.call_soon_threadsafe(self._deliver, items, answers)
        except RuntimeError:  # the loop was closed meanwhile: nobody is waiting
            return

    # --- in the event loop -------------------------------------------------------------------------------

    def _give_up(self, error: EventServiceError) -> None:
        for item in (items := list(self._open)):
            item.dropped = True
        self._deliver(items, [error.again() for _ in items])

    def _deliver(self, items: list[_Item[Request]], answers: Sequence[Outcome | Exception]) -> None:
        for item, answer in zip(items, answers, strict=True):
            if item not in self._open:
                continue
            self._open.remove(item)
            self._open_bytes -= item.size
            self._open_count -= item.count
            if item.future.done():
                continue
            if isinstance(answer, Exception):
                item.future.set_exception(answer)
            else:
                item.future.set_result(answer)
        if not self._open:
            self._idle.set()
