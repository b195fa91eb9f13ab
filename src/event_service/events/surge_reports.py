"""Tells, once its minute is over, how many events of a webhook were tied to one alert instead of opening their own."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from event_service.errors import EventServiceError, NotFound
from event_service.events.batch import ClaimRequest, CreateResult
from event_service.events.surges import Surge, Surges, report_of
from event_service.model.event import EventDraft
from event_service.model.webhook import Webhook

INTERVAL = 1.0  # seconds

_log = logging.getLogger(__name__)


class Webhooks(Protocol):
    """What is needed of `webhooks/manager.py`."""

    async def find(self, webhook_id: str) -> Webhook: ...


class Events(Protocol):
    """What is needed of `events/manager.py`."""

    async def store(
        self, webhook: Webhook, drafts: Sequence[EventDraft], received_at: datetime, claim: ClaimRequest | None
    ) -> CreateResult: ...


class SurgeReports:
    """Looks for surges that are over, and stores an event for each.

    Args:
        clock: timezone-aware UTC, whole milliseconds.
        interval: seconds between two looks.
    """

    def __init__(
        self,
        surges: Surges,
        *,
        webhooks: Webhooks,
        events: Events,
        clock: Callable[[], datetime],
        interval: float = INTERVAL,
    ) -> None:
        self._surges = surges
        self._webhooks = webhooks
        self._events = events
        self._clock = clock
        self._interval = interval
        self._waiting: list[Surge] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="surge reports")

    async def close(self) -> None:
        """Tells of all surges there are, be their minute over or not. While the writer still takes events."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._waiting += self._surges.take_over()
        await self._report()
        for surge in self._waiting:
            _log.warning("%d events of %s beyond its cap were not reported", surge.folded, surge.key.webhook_id)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            self._waiting += self._surges.take_over(self._clock())
            await self._report()

    async def _report(self) -> None:
        """Stores what can be stored; the rest has another time."""
        while self._waiting:
            surge = self._waiting[0]
            try:
                webhook = await self._webhooks.find(surge.key.webhook_id)
                await self._events.store(webhook, [report_of(surge)], self._clock(), None)
            except NotFound:
                _log.info("the webhook of a surge is gone: %s", surge.key.webhook_id)
            except EventServiceError as error:
                _log.info("a surge cannot be reported yet: %s", error)
                return
            self._waiting.pop(0)
