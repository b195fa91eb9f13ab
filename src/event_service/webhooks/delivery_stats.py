"""Counters of each webhook's deliveries, summed in memory and written once a second."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from event_service.errors import EventServiceError
from event_service.model.activity import DeliveryCounts, DeliveryOutcome
from event_service.wire.timestamps import utc_now

logger = logging.getLogger(__name__)

_NO_REPLY = "the database does not respond"

INTERVAL = 1.0

CLOSE_TIMEOUT = 2.0
"""Seconds. Counters must not delay a stop further."""

FLUSH_TIMEOUT = 0.5
"""Seconds that a read of the counters waits for their flush."""

Increments = Mapping[str, DeliveryCounts]
"""webhook_id -> counts to add"""


class DeliveryStats:
    """Counts deliveries and flushes the sums periodically.

    The counts are approximate: a killed process loses those of its last second, and a write whose reply was lost may
    count twice.

    Args:
        write: adds the counts to the stored ones.
        interval: seconds between two flushes.
        clock: aware UTC.
    """

    def __init__(
        self,
        write: Callable[[Increments], Awaitable[None]],
        *,
        interval: float = INTERVAL,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._write = write
        self._interval = interval
        self._clock = clock
        self._unwritten: dict[str, DeliveryCounts] = {}
        self._writing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def count(self, webhook_id: str, *, error: bool) -> None:
        """Count one authenticated call; `error` if its payload could not be parsed."""
        counts = self._counts_of(webhook_id)
        counts.calls += 1
        counts.faulty_calls += error
        counts.activity.last_received_at = self._clock()

    def record(self, webhook_id: str, outcome: DeliveryOutcome) -> None:
        """Record the outcome of a delivery."""
        self._counts_of(webhook_id).activity.record(outcome, self._clock)

    def start(self) -> None:
        """Start flushing every `interval` seconds."""
        if self._task is None:
            self._stopping.clear()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="delivery-stats")

    async def close(self) -> None:
        """Stop after a last flush, within `CLOSE_TIMEOUT` seconds even without a database."""
        task, self._task = self._task, None
        self._stopping.set()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                if task is not None:
                    await task
                await self.flush()
        except (EventServiceError, TimeoutError) as error:
            logger.warning("the last delivery counts of webhooks are lost: %s", str(error) or _NO_REPLY)

    async def flush(self) -> None:
        """Write the counts. On return everything counted before the call is stored.

        Raises:
            EventServiceError: the write failed; the counts are kept for the next flush.
        """
        if not self._unwritten and not self._writing.locked():
            return
        # Shielded: a cancelled caller must not have counts written twice.
        writing = asyncio.ensure_future(self._flush())
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(writing)

    async def try_flush(self) -> None:
        """Flush within `FLUSH_TIMEOUT` seconds; on failure the counts stay in `pending`."""
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT):
                await self.flush()
        except (EventServiceError, TimeoutError) as error:
            logger.debug("delivery counts are not written yet: %s", str(error) or _NO_REPLY)

    def pending(self, webhook_id: str) -> DeliveryCounts:
        """Return the counts of a webhook that are neither written nor being written."""
        return self._unwritten.get(webhook_id) or DeliveryCounts()

    async def _flush(self) -> None:
        async with self._writing:
            counts, self._unwritten = self._unwritten, {}
            if not counts:
                return
            try:
                await self._write(counts)
            except BaseException:  # includes cancellation: the counts must not get lost
                for webhook_id, later in self._unwritten.items():
                    counts.setdefault(webhook_id, DeliveryCounts()).add(later)
                self._unwritten = counts
                raise

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._interval)
            try:
                await self.flush()
            except EventServiceError as error:
                logger.warning("delivery counts are not written, retrying in %s s: %s", self._interval, error)

    def _counts_of(self, webhook_id: str) -> DeliveryCounts:
        counts = self._unwritten.get(webhook_id)
        if counts is None:
            counts = self._unwritten[webhook_id] = DeliveryCounts()
        return counts
