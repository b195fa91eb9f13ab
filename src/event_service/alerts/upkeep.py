"""What happens to alerts by time alone: those without news are resolved, and the open ones are counted for metrics.

Every replica does this. An alert is resolved by a transaction, which finds it resolved if another replica was faster.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from event_service.alerts.changes import AlertChanges
from event_service.alerts.transitions import AlertChange, expire
from event_service.concurrency.background_task import BackgroundTask, Stopping
from event_service.errors import NotFound
from event_service.model.condition import Condition
from event_service.store.alerts import StoredAlert
from event_service.store.open_alerts import OpenAlerts, StaleAlert
from event_service.wire.timestamps import utc_now

INTERVAL = 30.0  # seconds

MOST_WEBHOOKS = 50
"""Webhooks that are named in metrics: those with the most open alerts. All others are counted together."""

OTHER = "other"

_log = logging.getLogger(__name__)


class AlertUpkeep:
    """The upkeep of one service.

    Args:
        set_open: called with the number of open alerts by (severity, webhook_id or OTHER).
        interval: seconds between two rounds.
    """

    def __init__(
        self,
        open_alerts: OpenAlerts,
        changes: AlertChanges,
        set_open: Callable[[Mapping[tuple[str, str], int]], None],
        *,
        clock: Callable[[], datetime] = utc_now,
        interval: float = INTERVAL,
    ) -> None:
        self._open_alerts = open_alerts
        self._changes = changes
        self._set_open = set_open
        self._clock = clock
        self._interval = interval

    def start(self) -> BackgroundTask:
        """Start rounds in a background thread."""
        return BackgroundTask("alert-upkeep", self._run)

    def round(self) -> int:
        """Do all that is due, and return the number of alerts that were resolved.

        Raises:
            EventServiceError: the database failed; the next round does the rest.
        """
        resolved = sum(self._expire(alert) for alert in self._open_alerts.stale(self._clock()))
        if resolved:
            _log.info("resolved alerts without news", extra={"alerts": resolved})
        self._set_open(bounded(self._open_alerts.counts()))
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


def bounded(counts: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Return the counts with all but MOST_WEBHOOKS webhooks under OTHER."""
    totals: Counter[str] = Counter()
    for (_, webhook_id), number in counts.items():
        totals[webhook_id] += number
    named = {webhook_id for webhook_id, _ in totals.most_common(MOST_WEBHOOKS) if webhook_id}
    shown: Counter[tuple[str, str]] = Counter()
    for (severity, webhook_id), number in counts.items():
        shown[severity, webhook_id if webhook_id in named else OTHER] += number
    return dict(shown)
