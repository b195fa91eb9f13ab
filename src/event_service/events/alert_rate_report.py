"""Tells, once its minute is over, how many events of a webhook were tied to one alert instead of opening their own."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from event_service.errors import DeadlineExceeded, EventServiceError, NotFound
from event_service.events.alert_rate_limit import AlertRateLimit, SuppressedMinute, report_of
from event_service.events.write_request import CreateResult, IdempotencyRequest
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
        self, webhook: Webhook, drafts: Sequence[EventDraft], received_at: datetime, claim: IdempotencyRequest | None
    ) -> CreateResult: ...


class AlertRateReports:
    """Looks for alert_rate_limit that are over, and stores an event for each.

    Args:
        clock: timezone-aware UTC, whole milliseconds.
        interval: seconds between two looks.
    """

    def __init__(
        self,
        alert_rate_limit: AlertRateLimit,
        *,
        webhooks: Webhooks,
        events: Events,
        clock: Callable[[], datetime],
        interval: float = INTERVAL,
    ) -> None:
        self._surges = alert_rate_limit
        self._webhooks = webhooks
        self._events = events
        self._clock = clock
        self._interval = interval
        self._waiting: list[SuppressedMinute] = []
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="surge reports")

    async def close(self) -> None:
        """Tells of all alert_rate_limit there are, be their minute over or not. While the writer still takes events."""
        self._closing.set()
        if self._task is not None:
            # Not cancelled: a report that is being stored would be stored a second time.
            await self._task
        self._waiting += self._surges.take_ended()
        await self._report()
        for surge in self._waiting:
            _log.warning("%d events of %s beyond its cap were not reported", surge.suppressed, surge.key.webhook_id)

    async def _run(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._interval)
            self._waiting += self._surges.take_ended(self._clock())
            await self._report()

    async def _report(self) -> None:
        """Stores what can be stored and drops what never will be; the rest has another time."""
        while self._waiting:
            surge = self._waiting[0]
            webhook_id = surge.key.webhook_id
            try:
                webhook = await self._webhooks.find(webhook_id)
                await self._events.store(webhook, [report_of(surge)], self._clock(), None)
            except NotFound:
                _log.info("the webhook of a surge is gone: %s", webhook_id)
            except EventServiceError as error:
                if error.retry_after is not None or isinstance(error, DeadlineExceeded):  # the database is slow
                    _log.info("a surge cannot be reported yet: %s", error)
                    return
                _log.warning("%d events of %s beyond its cap are not reported: %s", surge.suppressed, webhook_id, error)
            except Exception:  # whatever it is, it is about this surge; the others have their turn
                _log.exception("%d events of %s beyond its cap are not reported", surge.suppressed, webhook_id)
            self._waiting.pop(0)
