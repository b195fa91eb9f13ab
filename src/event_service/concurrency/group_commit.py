"""Natural group commit: requests queued while a write is in flight form the next batch.

No timer: an idle writer writes immediately, a busy one takes all requests queued meanwhile. The queue's bound is the
admission limit of creates. Each key, such as a webhook, has its share of the queue and of the batches: one that sends
more than is written is refused and waits, the others are not.

    event loop   submit > queue
    writer       queue > fair queue > batch > commit (blocking, one at a time) > outcomes
    event loop   one wake-up per batch > each caller its own outcome
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from event_service.concurrency.fair_queue import FairQueue
from event_service.concurrency.shares import Shares
from event_service.errors import EventServiceError, Internal, Overloaded, Unavailable

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")

log = logging.getLogger(__name__)


Outcomes: TypeAlias = Sequence[Outcome | Exception | None]
Commit: TypeAlias = Callable[[Sequence[Request]], Outcomes[Outcome]]

COMMIT_SECONDS = 1.8
"""Time limit of all steps of one batch, so that a caller is answered within 2 s."""

_SECONDS_PER_REQUEST = 0.01  # beyond COMMIT_SECONDS, for a request with more events than a batch
_SECONDS_PER_BYTE = 1e-7  # the same for one with more bytes
_LEAST_RETRY_AFTER, _MOST_RETRY_AFTER = 0.05, 5.0  # seconds
_LEAST_BATCH = 8  # events; a smaller batch says nothing about throughput
_LARGE_BATCH = 32  # events; from here on a batch measures the events rather than its commit
_FIRST_GUESS = 0.001  # seconds per event


class _Item(Generic[Request]):
    __slots__ = ("count", "dropped", "future", "key", "left", "request", "size")

    def __init__(self, key: Hashable, request: Request, size: int, count: int, future: "asyncio.Future[Any]") -> None:
        self.key = key
        self.request = request
        self.size = size
        self.count = count
        self.left = count  # events that are not written yet; only the writer uses it
        self.future = future
        self.dropped = False


class _ThroughputEstimate:
    """Estimate of the write time from the last batches: a fixed part per commit and a part per event."""

    def __init__(self) -> None:
        self._commit_seconds, self._event_seconds = 0.0, _FIRST_GUESS
        self._seconds, self._count = 0.1, 100.0

    def wait(self, count: int, batch_count: int) -> float:
        """Return the seconds until that many events are written, in full batches."""
        return count * (self._event_seconds + self._commit_seconds / batch_count)

    def within(self, seconds: float) -> int:
        """Return how many events fit into a commit of that time; at least a few, to keep measuring."""
        return max(_LEAST_BATCH, int(seconds * self._count / self._seconds))

    def update(self, seconds: float, count: int) -> None:
        self._seconds = 0.9 * self._seconds + seconds
        self._count = 0.9 * self._count + count
        # Normalised least mean squares: small batches measure the commit, large ones the events.
        error = seconds - self._commit_seconds - count * self._event_seconds
        step = 0.3 * error / (1 + (count / _LARGE_BATCH) ** 2)
        self._commit_seconds = max(0.0, self._commit_seconds + step)
        self._event_seconds = max(0.0, self._event_seconds + step * count / _LARGE_BATCH**2)


class GroupCommit(Generic[Request, Outcome]):
    """A write queue of one event loop: batches of requests, written by one thread.

    Args:
        commit: writes a batch and returns an outcome for each request; None if it wrote only a part of it, and is to
            be called again for the rest, after other keys. Called in the writer thread, under
            `time_limit(COMMIT_SECONDS)`, or more for a request that is larger than a whole batch. If it raises, every
            request of the batch gets that error, and the writer continues with the next batch.
        key_of: whose share a request takes. Only the order of requests of one key is kept.
        size_of: bytes a request adds to a batch.
        count_of: events that are left to be written of it.
        queue_items, queue_bytes: bounds of what one key may have in the queue, if no other key has anything; see
            `Shares`. Beyond them `submit` refuses.
        batch_count, batch_bytes: largest batch; a larger request is a batch of its own. On a slow database batches
            are smaller, so that they should take half of the time limit.
        longest_wait: seconds. A request that would wait longer, by the estimate of the last batches, is refused,
            unless less than a batch is queued: after its deadline an answer is useless.
        time_limit: bounds the database calls made inside it to that many seconds.
    """

    def __init__(
        self,
        commit: Commit[Request, Outcome],
        *,
        key_of: Callable[[Request], Hashable] = lambda _: "",
        size_of: Callable[[Request], int] = lambda _: 0,
        count_of: Callable[[Request], int] = lambda _: 1,
        queue_items: int = 4096,
        queue_bytes: int = 128 * 1024 * 1024,
        batch_count: int = 256,
        batch_bytes: int = 16 * 1024 * 1024,
        longest_wait: float = 2.0,
        time_limit: Callable[[float], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._commit = commit
        self._time_limit = time_limit
        self._key_of = key_of
        self._size_of = size_of
        self._count_of = count_of
        self._batch_count = batch_count
        self._batch_bytes = batch_bytes
        self._longest_wait = longest_wait
        self._queue: SimpleQueue[_Item[Request] | None] = SimpleQueue()
        self._next: FairQueue[Hashable, _Item[Request]] = FairQueue()  # taken from the queue; only the writer uses it
        self._ends = False  # as above
        self._open: set[_Item[Request]] = set()  # submitted and not answered; only the event loop uses it and these:
        self._items = Shares(2 * queue_items)
        self._bytes = Shares(2 * queue_bytes)
        self._events = Shares()
        self._last_success_at = float("-inf")
        self._estimate = _ThroughputEstimate()
        self._refusing: EventServiceError | None = None
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Requests without an answer, including those in the batch being written."""
        return len(self._open)

    @property
    def depth_bytes(self) -> int:
        """Bytes of the requests without an answer."""
        return self._bytes.used

    @property
    def last_success_at(self) -> float:
        """Time of the last successful commit, in seconds of `time.monotonic`."""
        return self._last_success_at

    def check(self, key: Hashable = "", size: int = 0) -> None:
        """Refuse what `submit` would refuse, before the request is made.

        Args:
            key: of the request.
            size: bytes of the request.

        Raises:
            Overloaded, Unavailable: as `submit`.
        """
        if self._refusing is not None:
            raise self._refusing.again()
        if not self._open:
            return
        wait = self._estimate.wait(self._events.used, self._batch_count)
        waits_too_long = False
        if wait > self._longest_wait:
            # By its turns it is written after the same number of events of each key, or as many as that has.
            most = self._events.held.get(key, 0) + 1
            ahead = sum(min(count, most) for count in self._events.held.values())
            wait = self._estimate.wait(ahead, self._batch_count)
            waits_too_long = wait > self._longest_wait and ahead >= self._batch_count
        if waits_too_long or not self._items.fits(key) or not self._bytes.fits(key, size):
            raise Overloaded(
                "Too many events are waiting to be written; send again.",
                retry_after=min(max(wait / 2, _LEAST_RETRY_AFTER), _MOST_RETRY_AFTER),
            )

    def submit(self, request: Request) -> "asyncio.Future[Outcome]":
        """Queue a request; await its outcome.

        Cancelling the future does not stop the write: its outcome is then unknown.

        Raises:
            Overloaded: the queue is full; `retry_after` estimates when there will be room.
            Unavailable: the writer is closed or suspended.
            EventServiceError: of the commit, for this request or for its batch.
        """
        size, count = self._size_of(request), self._count_of(request)
        key = self._key_of(request)
        self.check(key, size)
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = self._loop.create_future()
        item = _Item(key, request, size, count, future)
        self._open.add(item)
        self._items.take(key)
        self._bytes.take(key, size)
        self._events.take(key, count)
        self._idle.clear()
        self._queue.put(item)
        return future

    def suspend(self, error: EventServiceError) -> None:
        """Fail all requests with `error`, queued and new ones, until `resume`.

        Used while the database is down. Queued requests are dropped; the outcome of the batch in flight is unknown.
        """
        self._refusing = error
        self._fail_all(error)

    def resume(self) -> None:
        """End `suspend`, but not `close`."""
        if not self._closed:
            self._refusing = None

    async def close(self, grace: float) -> None:
        """Refuse new requests, write the queued ones, and end.

        Args:
            grace: seconds; requests not written by then fail as Unavailable.
        """
        stopping = Unavailable("The service is stopping; send again.")
        self._closed = True
        self._refusing = stopping
        if self._open:
            try:
                await asyncio.wait_for(self._idle.wait(), grace)
            except TimeoutError:
                log.warning("stopped before all creates were written", extra={"creates": len(self._open)})
        finished = not self._open
        self._queue.put(None)
        self._fail_all(stopping)
        if finished:
            await asyncio.to_thread(self._thread.join)

    # --- in the writer thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._take():
            self._write(batch)
            del batch  # or it would stay in memory until the next one

    def _take(self) -> list[_Item[Request]]:
        """Wait for the next batch. Empty once the writer is closed and nothing is left."""
        batch: list[_Item[Request]] = []
        size = count = 0
        most = min(self._batch_count, self._estimate.within(COMMIT_SECONDS / 2))
        while not batch and self._receive():
            while self._next and count < most:
                item = self._next.peek()
                if batch and (size + item.size > self._batch_bytes or count + item.left > most):
                    break
                self._next.get()
                if not item.dropped:
                    batch.append(item)
                    size += item.size
                    count += item.left
        return batch

    def _receive(self) -> bool:
        """Take what is queued, and wait until something is. False once the writer is closed and nothing is left."""
        while not self._ends:
            try:
                item = self._queue.get(block=not self._next)
            except Empty:
                break
            if item is None:
                self._ends = True
            else:
                self._next.put(item.key, item, self._cost(item))
        return bool(self._next)

    def _cost(self, item: _Item[Request]) -> float:
        """Return what a turn of a request costs its key, in batches: one of a large request is about one batch."""
        return min(max(item.left / self._batch_count, item.size / self._batch_bytes), 1.0)

    def _write(self, batch: list[_Item[Request]]) -> None:
        started = time.monotonic()
        count = sum(item.left for item in batch)
        size = sum(item.size for item in batch)
        longer = max(count - self._batch_count, 0) * _SECONDS_PER_REQUEST
        longer += max(size - self._batch_bytes, 0) * _SECONDS_PER_BYTE
        try:
            with self._time_limit(COMMIT_SECONDS + longer):
                outcomes = self._commit([item.request for item in batch])
            if len(outcomes) != len(batch):
                raise AssertionError("a commit must answer every request of its batch")  # noqa: TRY301
        except Unavailable as error:
            # Requests queued behind a failed write would only fail later: no caller waits for more than one.
            self._answer([*batch, *self._drain()], error)
        except EventServiceError as error:
            self._answer(batch, error)
        except Exception:
            log.exception("a batch failed with an unexpected error")
            self._answer(batch, Internal("The event could not be stored."))
        else:
            self._last_success_at = time.monotonic()
            if None in outcomes:
                count -= self._put_back([item for item, one in zip(batch, outcomes, strict=True) if one is None])
            self._answer(batch, outcomes)
        self._estimate.update(time.monotonic() - started, count)

    def _put_back(self, items: list[_Item[Request]]) -> int:
        """Queue the rest of requests again, first of their keys; return the events left of them."""
        for item in reversed(items):
            item.left = self._count_of(item.request)
            self._next.put_back(item.key, item, self._cost(item))
        return sum(item.left for item in items)

    def _drain(self) -> list[_Item[Request]]:
        if not self._queue.empty():
            self._receive()
        drained = []
        while (found := self._next.get()) is not None:
            drained.append(found[1])
        return drained

    def _answer(self, items: list[_Item[Request]], answers: Outcomes[Outcome] | EventServiceError) -> None:
        """Wake the event loop once for all of them."""
        if not items or self._loop is None:
            return
        if isinstance(answers, EventServiceError):
            answers = [answers.again() for _ in items]
        try:
            self._loop.call_soon_threadsafe(self._deliver, items, answers)
        except RuntimeError:  # the loop was closed meanwhile
            return

    # --- in the event loop -------------------------------------------------------------------------------

    def _fail_all(self, error: EventServiceError) -> None:
        for item in (items := list(self._open)):
            item.dropped = True
        self._deliver(items, [error.again() for _ in items])

    def _deliver(self, items: list[_Item[Request]], answers: Outcomes[Outcome]) -> None:
        for item, answer in zip(items, answers, strict=True):
            if answer is None or item not in self._open:
                continue
            self._open.remove(item)
            self._items.give_back(item.key)
            self._bytes.give_back(item.key, item.size)
            self._events.give_back(item.key, item.count)
            if item.future.done():
                continue
            if isinstance(answer, Exception):
                item.future.set_exception(answer)
            else:
                item.future.set_result(answer)
        if not self._open:
            self._idle.set()
