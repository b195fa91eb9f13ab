"""Report, after each minute, how many events of a webhook joined one alert instead of opening their own."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime

from event_service.errors import EventServiceError, NotFound
from event_service.events.alert_rate_limit import AlertRateLimit, SuppressedMinute, report_of
from event_service.events.manager import EventManager
from event_service.events.ports import Webhooks

INTERVAL = 1.0  # seconds

_NOT_REPORTED = "%d events of %s over its alert rate limit were not reported: %s"

_log = logging.getLogger(__name__)


class AlertRateReports:
    """The reports on minutes in which a webhook was over its alert rate limit: one event each.

    Args:
        clock: timezone-aware UTC, whole milliseconds.
        interval: seconds between two checks.
    """

    def __init__(
        self,
        alert_rate_limit: AlertRateLimit,
        *,
        webhooks: Webhooks,
        events: EventManager,
        clock: Callable[[], datetime],
        interval: float = INTERVAL,
    ) -> None:
        self._rate_limit = alert_rate_limit
        self._webhooks = webhooks
        self._events = events
        self._clock = clock
        self._interval = interval
        self._waiting: list[SuppressedMinute] = []
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the reports."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="alert rate reports")

    async def close(self) -> None:
        """Report all minutes, also those that are not over. To be called while the writer still accepts events."""
        self._closing.set()
        if self._task is not None:
            # Not cancelled, or a report that is being stored would be stored a second time.
            await self._task
        self._waiting += self._rate_limit.take_ended()
        await self._report()
        for minute in self._waiting:
            _log.warning(_NOT_REPORTED, minute.suppressed, minute.key.webhook_id, "the service stops")

    async def _run(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._interval)
            self._waiting += self._rate_limit.take_ended(self._clock())
            await self._report()

    async def _report(self) -> None:
        """Store the reports, drop those that can never be stored, and keep the rest for the next time."""
        while self._waiting:
            minute = self._waiting[0]
            webhook_id = minute.key.webhook_id
            try:
                webhook = await self._webhooks.find(webhook_id)
                await self._events.store(webhook, [report_of(minute)], self._clock(), None)
            except NotFound:
                _log.info("alert rate report dropped: webhook %s was deleted", webhook_id)
            except EventServiceError as error:
                if error.retry_after is not None:  # the database is slow
                    _log.info("alert rate report postponed: %s", error)
                    return
                _log.warning(_NOT_REPORTED, minute.suppressed, webhook_id, error)
            except Exception:  # one report that fails must not block the others
                _log.exception(_NOT_REPORTED, minute.suppressed, webhook_id, "unexpected error")
            self._waiting.pop(0)
