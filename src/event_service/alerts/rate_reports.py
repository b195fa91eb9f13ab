"""Report, after each minute, how many events of a webhook joined one alert instead of opening their own.

The due report is stored with that alert, so that any replica can store it, also after a crash. The transaction that
stores the report finds it stored if another replica was faster.
"""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime

from event_service.alerts.changes import AlertChanges
from event_service.alerts.transitions import AlertChange, report
from event_service.concurrency.background_task import BackgroundTask, Stopping
from event_service.errors import NotFound
from event_service.events.alert_rate_limit import MINUTE, report_of
from event_service.events.event_builder import new_event_id
from event_service.model.condition import Condition
from event_service.model.event import Event
from event_service.model.retention import Retention
from event_service.store.alert_documents import EVENT_COUNT, LAST_EVENT_AT, RATE_REPORT
from event_service.store.alerts import AlertStore, StoredAlert
from event_service.store.event_writer import NewEvent
from event_service.store.object_ids import new_object_id
from event_service.store.open_alerts import DueReport, OpenAlerts
from event_service.wire.event_info import encode_event

INTERVAL = 1.0  # seconds

_log = logging.getLogger(__name__)


class AlertRateReports:
    """The reports on minutes in which a webhook was over its alert rate limit: one event each.

    Args:
        on_stored: called after each report.
        clock: timezone-aware UTC, whole milliseconds.
        interval: seconds between two rounds.
    """

    def __init__(
        self,
        open_alerts: OpenAlerts,
        alerts: AlertStore,
        changes: AlertChanges,
        retention: Retention,
        *,
        clock: Callable[[], datetime],
        on_stored: Callable[[], None] = lambda: None,
        interval: float = INTERVAL,
    ) -> None:
        self._open_alerts = open_alerts
        self._alerts = alerts
        self._changes = changes
        self._retention = retention
        self._clock = clock
        self._on_stored = on_stored
        self._interval = interval

    def start(self) -> BackgroundTask:
        """Start rounds in a background thread."""
        return BackgroundTask("alert-rate-reports", self._run)

    def round(self) -> int:
        """Store all reports that are due, and return their number.

        Raises:
            EventServiceError: the database failed; the next round does the rest.
        """
        return sum(self._report(due) for due in self._open_alerts.due_reports(self._clock()))

    def _run(self, stopping: Stopping) -> None:
        while not stopping():
            self.round()
            # At random, so that replicas rarely store the same report at the same time.
            until = time.monotonic() + self._interval * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
            while not stopping() and time.monotonic() < until:
                time.sleep(0.2)

    def _report(self, due: DueReport) -> bool:
        now = self._clock()

        def decide(stored: StoredAlert, condition: Condition | None) -> AlertChange:
            owed = stored.rate_report
            if owed is None:  # another replica was faster
                return AlertChange()
            opened = self._alerts.count_in_minute(due.webhook_id, owed.due_at - MINUTE)
            event = Event(
                new_event_id(),
                report_of(owed, opened, stored.event_count),
                due.scope.domain_id,
                due.workspace_id,
                due.project_id,
                due.webhook_id,
                now,
            )
            self._retention.stamp([event], due.options)
            change = report(stored.reference, stored.state, condition, now, owed.due_at)
            return AlertChange(
                {RATE_REPORT: None, EVENT_COUNT: stored.event_count + 1, LAST_EVENT_AT: now},
                change.resolution,
                change.condition,
                NewEvent(new_object_id(), event, stored.reference, encode_event(event)),
            )

        try:
            change = self._changes.change(due.scope, due.alert_id, now, decide)
        except NotFound:  # deleted since
            return False
        if change:
            self._on_stored()
            _log.info("reported suppressed alerts", extra={"webhook_id": due.webhook_id, "alert_id": due.alert_id})
        return bool(change)
