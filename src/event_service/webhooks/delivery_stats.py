"""What became of each webhook's deliveries: added up in memory, written once a second."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from event_service.errors import EventServiceError
from event_service.model.activity import DeliveryCounts, Ending
from event_service.wire.timestamps import utc_now

logger = logging.getLogger(__name__)

INTERVAL = 1.0

LONGEST_CLOSE = 2.0
"""Seconds. A stop has more important things to wait for than counters."""

LONGEST_SETTLE = 0.5
"""Seconds that a reader of the counts waits for them to be written."""

Rollups = Mapping[str, DeliveryCounts]
"""webhook_id -> what is to be added"""


class DeliveryStats:
    """Counts what happens to deliveries and hands the sums on.

    The counts are an overview and no more is promised of them: a process that is killed takes those of its last
    second along, and a write whose answer was lost may count twice.

    Args:
        write: adds the counts to what is stored.
        interval: seconds between two writes.
        clock: aware UTC.
    """

    def __init__(
        self,
        write: Callable[[Rollups], Awaitable[None]],
        *,
        interval: float = INTERVAL,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._write = write
        self._interval = interval
        self._clock = clock
        self._tallies: dict[str, DeliveryCounts] = {}
        self._writing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def count(self, webhook_id: str, *, error: bool) -> None:
        """Takes note of one authenticated call; `error`: its payload could not be parsed."""
        counts = self._counts_of(webhook_id)
        counts.calls += 1
        counts.faulty_calls += error
        counts.activity.last_received_at = self._clock()

    def record(self, webhook_id: str, ending: Ending) -> None:
        """Takes note of how a delivery ended."""
        self._counts_of(webhook_id).activity.record(ending, self._clock)

    def start(self) -> None:
        """Begins to write every `interval` seconds."""
        if self._task is None:
            self._stopping.clear()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="webhook counters")

    async def close(self) -> None:
        """Stops writing, after a last time. Ends within `LONGEST_CLOSE` seconds, be the database there or not."""
        task, self._task = self._task, None
        self._stopping.set()
        try:
            async with asyncio.timeout(LONGEST_CLOSE):
                if task is not None:
                    await task
                await self.flush()
        except (EventServiceError, TimeoutError) as error:
            logger.warning("the last counts of webhooks are lost: %s", str(error) or "the database does not answer")

    async def flush(self) -> None:
        """Writes what was counted so far. On return everything counted before the call is stored.

        Raises:
            EventServiceError: it could not be written; it is kept for the next time.
        """
        if not self._tallies and not self._writing.locked():
            return
        # Shielded: a caller that gives up half-way must not have the same counts written again.
        writing = asyncio.ensure_future(self._flush())
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(writing)

    async def settle(self) -> None:
        """Write what was counted so far if that can be done at once. What cannot be written stays in `pending`."""
        try:
            async with asyncio.timeout(LONGEST_SETTLE):
                await self.flush()
        except (EventServiceError, TimeoutError) as error:
            logger.debug("webhook counters are not written yet: %s", str(error) or "the database does not answer")

    def pending(self, webhook_id: str) -> DeliveryCounts:
        """Return what was counted for a webhook and is not written, nor being written."""
        return self._tallies.get(webhook_id) or DeliveryCounts()

    async def _flush(self) -> None:
        async with self._writing:
            counts, self._tallies = self._tallies, {}
            if not counts:
                return
            try:
                await self._write(counts)
            except BaseException:
                for webhook_id, later in self._tallies.items():
                    counts.setdefault(webhook_id, DeliveryCounts()).add(later)
                self._tallies = counts
                raise

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._interval)
            try:
                await self.flush()
            except EventServiceError as error:
                logger.warning("webhook counters are not written, tried again in %s s: %s", self._interval, error)

    def _counts_of(self, webhook_id: str) -> DeliveryCounts:
        counts = self._tallies.get(webhook_id)
        if counts is None:
            counts = self._tallies[webhook_id] = DeliveryCounts()
        return counts
