"""Resolve alerts without news, and count open alerts for metrics, at regular times.

Every process counts; one at a time resolves, under a lease. An alert is resolved by a transaction, which finds it
resolved if another process was faster.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from event_service.alerts.changes import AlertChanges
from event_service.alerts.transitions import AlertChange, expire
from event_service.concurrency.background_task import BackgroundTask, Stopping
from event_service.errors import NotFound
from event_service.model.condition import Condition
from event_service.store.alerts import StoredAlert
from event_service.store.open_alerts import OpenAlerts, OpenCount, StaleAlert
from event_service.wire.timestamps import utc_now

INTERVAL = 30.0  # seconds

LEASE_SECONDS = 3 * INTERVAL  # held from round to round

MOST_WEBHOOKS = 50
"""Webhooks that are named in metrics: those with the most open alerts. All others are counted together."""

OTHER = "other"

_log = logging.getLogger(__name__)


class AlertUpkeep:
    """The upkeep of one service.

    Args:
        show: called with the number of open alerts by (severity, webhook_id or OTHER), and the age of the oldest in
            seconds by severity.
        interval: seconds between two rounds.
        may_resolve: returns False while another process resolves alerts.
    """

    def __init__(
        self,
        open_alerts: OpenAlerts,
        changes: AlertChanges,
        show: Callable[[Mapping[tuple[str, str], int], Mapping[str, float]], None],
        *,
        clock: Callable[[], datetime] = utc_now,
        interval: float = INTERVAL,
        may_resolve: Callable[[], bool] = lambda: True,
    ) -> None:
        self._open_alerts = open_alerts
        self._changes = changes
        self._show = show
        self._clock = clock
        self._interval = interval
        self._may_resolve = may_resolve

    def start(self) -> BackgroundTask:
        """Start rounds in a background thread."""
        return BackgroundTask("alert-upkeep", self._run)

    def round(self) -> int:
        """Do all that is due, and return the number of alerts that were resolved.

        Raises:
            EventServiceError: the database failed; the next round does the rest.
        """
        stale = self._open_alerts.stale(self._clock()) if self._may_resolve() else ()
        resolved = sum(map(self._expire, stale))
        if resolved:
            _log.info("resolved alerts without news", extra={"alerts": resolved})
        counts = self._open_alerts.counts()
        self._show(bounded(counts), oldest(counts, self._clock()))
        return resolved

    def _run(self, stopping: Stopping) -> None:
        while not stopping():
            self.round()
            # At random, so that replicas rarely resolve the same alert at the same time.
            until = time.monotonic() + self._interval * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
            while not stopping() and time.monotonic() < until:
                time.sleep(0.2)

    def _expire(self, stale: StaleAlert) -> bool:
        now = self._clock()

        def decide(stored: StoredAlert, condition: Condition | None) -> AlertChange:
            # It was found outside the transaction: an event may have joined since.
            if stored.last_event_at is None or stored.last_event_at >= stale.before:
                return AlertChange()
            return expire(stored.reference, stored.state, condition, now)

        try:
            return bool(self._changes.change(stale.scope, stale.alert_id, now, decide))
        except NotFound:  # deleted since
            return False


def bounded(counts: Sequence[OpenCount]) -> dict[tuple[str, str], int]:
    """Return the numbers by (severity, webhook_id), with all but MOST_WEBHOOKS webhooks under OTHER."""
    totals: Counter[str] = Counter()
    for one in counts:
        totals[one.webhook_id] += one.number
    named = {webhook_id for webhook_id, _ in totals.most_common(MOST_WEBHOOKS) if webhook_id}
    shown: Counter[tuple[str, str]] = Counter()
    for one in counts:
        shown[one.severity, one.webhook_id if one.webhook_id in named else OTHER] += one.number
    return dict(shown)


def oldest(counts: Sequence[OpenCount], now: datetime) -> dict[str, float]:
    """Return the age of the oldest open alert in seconds, by severity."""
    ages: dict[str, float] = {}
    for one in counts:
        if one.oldest is not None:
            ages[one.severity] = max(ages.get(one.severity, 0.0), (now - one.oldest).total_seconds())
    return ages
