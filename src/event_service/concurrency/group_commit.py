"""Natural group commit: requests queued while a write is in flight form the next batch.

No timer: an idle writer writes immediately, a busy one takes all requests queued meanwhile. The queue's bound is the
admission limit of creates.

    event loop   submit > queue
    writer       queue > batch > commit (blocking, one at a time) > outcomes
    event loop   one wake-up per batch > each caller its own outcome
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from event_service.errors import EventServiceError, Internal, Overloaded, Unavailable

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")

log = logging.getLogger(__name__)


Commit: TypeAlias = Callable[[Sequence[Request]], Sequence[Outcome | Exception]]

COMMIT_SECONDS = 1.8
"""Time limit of all steps of one batch, so that a caller is answered within 2 s."""

_SECONDS_PER_REQUEST = 0.01  # beyond COMMIT_SECONDS, for a request with more events than a batch
_SECONDS_PER_BYTE = 1e-7  # the same for one with more bytes
_LEAST_RETRY_AFTER, _MOST_RETRY_AFTER = 0.05, 5.0  # seconds
_LEAST_BATCH = 8  # events; a smaller batch says nothing about throughput
_LARGE_BATCH = 32  # events; from here on a batch measures the events rather than its commit
_FIRST_GUESS = 0.001  # seconds per event


class _Item(Generic[Request]):
    __slots__ = ("count", "dropped", "future", "request", "size")

    def __init__(self, request: Request, size: int, count: int, future: "asyncio.Future[Any]") -> None:
        self.request = request
        self.size = size
        self.count = count
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
        commit: writes a batch and returns an outcome for each request. Called in the writer thread, under
            `time_limit(COMMIT_SECONDS)`, or more for a request that is larger than a whole batch. If it raises, every
            request of the batch gets that error, and the writer continues with the next batch.
        size_of: bytes a request adds to a batch.
        count_of: events it adds to a batch.
        queue_items, queue_bytes: bounds of the queue; beyond them `submit` refuses.
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
        self._next: deque[_Item[Request]] = deque()  # taken from the queue, but not written yet
        self._open: set[_Item[Request]] = set()  # submitted and not answered; only the event loop uses it
        self._open_bytes = 0
        self._open_count = 0
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
        return self._open_bytes

    @property
    def last_success_at(self) -> float:
        """Time of the last successful commit, in seconds of `time.monotonic`."""
        return self._last_success_at

    def check(self, size: int = 0) -> None:
        """Refuse what `submit` would refuse, before the request is made.

        Args:
            size: bytes of the request.

        Raises:
            Overloaded, Unavailable: as `submit`.
        """
        if self._refusing is not None:
            raise self._refusing.again()
        wait = self._estimate.wait(self._open_count, self._batch_count)
        if self._open and (
            len(self._open) >= self._queue_items
            or self._open_bytes + size > self._queue_bytes
            or (wait > self._longest_wait and self._open_count >= self._batch_count)
        ):
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
        while count < most:
            if self._next:
                item = self._next.popleft()
            else:
                try:
                    taken = self._queue.get(block=not batch)
                except Empty:
                    break
                if taken is None:
                    self._queue.put(None)  # for the next call, after this batch
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
            # Requests queued behind a failed write would only fail later: no caller waits for more than one.
            self._answer([*batch, *self._drain()], error)
        except EventServiceError as error:
            self._answer(batch, error)
        except Exception:
            log.exception("a batch failed with an unexpected error")
            self._answer(batch, Internal("The event could not be stored."))
        else:
            self._last_success_at = time.monotonic()
            self._answer(batch, outcomes)
        self._estimate.update(time.monotonic() - started, count)

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
