"""How often each webhook was called: added up in memory, written once a second."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping

from event_service.errors import EventServiceError

logger = logging.getLogger(__name__)

INTERVAL = 1.0

LONGEST_CLOSE = 2.0
"""Seconds. A stop has more important things to wait for than counters."""

Counts = Mapping[str, tuple[int, int]]
"""webhook_id -> (calls, those of them whose payload could not be parsed)"""


class RequestCounters:
    """Counts calls and hands the sums on.

    The counts are an overview and no more is promised of them: a process that is killed takes those of its last
    second along, and a write whose answer was lost may count twice.

    Args:
        write: adds the counts to what is stored.
        interval: seconds between two writes.
    """

    def __init__(self, write: Callable[[Counts], Awaitable[None]], *, interval: float = INTERVAL) -> None:
        self._write = write
        self._interval = interval
        self._counts: dict[str, tuple[int, int]] = {}
        self._writing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def count(self, webhook_id: str, *, error: bool) -> None:
        """Takes note of one authenticated call."""
        self._add(webhook_id, 1, int(error))

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
        if not self._counts and not self._writing.locked():
            return
        # Shielded: a caller that gives up half-way must not have the same counts written again.
        writing = asyncio.ensure_future(self._flush())
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(writing)

    async def _flush(self) -> None:
        async with self._writing:
            counts, self._counts = self._counts, {}
            if not counts:
                return
            try:
                await self._write(counts)
            except BaseException:
                for webhook_id, (total, errors) in counts.items():
                    self._add(webhook_id, total, errors)
                raise

    async def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._interval)
            try:
                await self.flush()
            except EventServiceError as error:
                logger.warning("webhook counters are not written, tried again in %s s: %s", self._interval, error)

    def _add(self, webhook_id: str, total: int, errors: int) -> None:
        known, known_errors = self._counts.get(webhook_id, (0, 0))
        self._counts[webhook_id] = known + total, known_errors + errors
