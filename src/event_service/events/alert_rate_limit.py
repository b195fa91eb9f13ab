"""How many alerts a webhook may open in a minute, and what becomes of the surplus. Pure but for its own counting.

A collector that goes wild must not open a thousand alerts. Up to the cap alerts are opened as always; an event that
would open one more is stored like any other, but tied to one alert that stands for the whole surplus of its webhook.
When the minute is over, one event says how many there were, and ends that alert.
"""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from event_service.events.alert_rules import condition_id_of
from event_service.model.condition import Condition, ConditionKey
from event_service.model.event import EventDraft, EventType, Severity

SUPPRESSING_KEY = "more-alerts-than-allowed"
"""The event_key of what is told about a surplus."""

MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class SuppressedMinute:
    """What one webhook did in one minute.

    Attributes:
        key: its webhook with domain, workspace and project; the event_key is SUPPRESSING_KEY.
        begins: the minute, timezone-aware UTC.
        limit: alerts it may open in a minute.
        opened: alerts it opened.
        suppressed: events that would have opened one more.
    """

    key: ConditionKey
    begins: datetime
    limit: int
    opened: int = 0
    suppressed: int = 0

    @property
    def ends(self) -> datetime:
        """The end of the minute."""
        return self.begins + MINUTE


class AlertRateLimit:
    """Counts the alerts that this process opens. The writer's thread counts, the event loop asks what is over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[str, SuppressedMinute] = {}
        self._over: list[SuppressedMinute] = []

    def admits(self, key: ConditionKey, received_at: datetime, limit: int) -> bool:
        """Whether the webhook may open one more alert; counts it either way.

        Args:
            key: of the condition whose alert it is.
            limit: alerts a minute, more than 0.
        """
        minute = received_at.replace(second=0, microsecond=0)
        with self._lock:
            surge = self._now.get(key.webhook_id)
            if surge is None or surge.begins < minute:
                if surge is not None and surge.suppressed:
                    self._over.append(surge)
                surge = self._now[key.webhook_id] = SuppressedMinute(suppressing_key(key), minute, limit)
            if surge.opened < limit:
                surge.opened += 1
                return True
            surge.suppressed += 1
            surge.limit = limit
            return False

    def take_ended(self, now: datetime | None = None) -> list[SuppressedMinute]:
        """The alert_rate_limit whose minute is over, each once.

        Args:
            now: None for all there are, over or not.
        """
        with self._lock:
            for webhook_id, surge in list(self._now.items()):
                if now is None or surge.ends <= now:
                    del self._now[webhook_id]
                    if surge.suppressed:
                        self._over.append(surge)
            over, self._over = self._over, []
            return over


def suppressing_key(key: ConditionKey) -> ConditionKey:
    """The condition that stands for the surplus of a webhook."""
    return key._replace(event_key=SUPPRESSING_KEY)


def suppressing_condition_id(key: ConditionKey) -> str:
    """Its name."""
    return condition_id_of(key.webhook_id, key.domain_id, key.workspace_id, key.project_id, SUPPRESSING_KEY)


def suppressed(before: Condition, after: Condition) -> Condition:
    """The row of a condition whose event was tied to the surge's alert: it has seen the event and opened nothing."""
    return before._replace(newest_alert_at=after.newest_alert_at, was_firing=after.was_firing)


def suppressing_alert(limit: int) -> EventDraft:
    """What the surge's alert says of itself."""
    return EventDraft(
        event_key=SUPPRESSING_KEY,
        title=f"More than {limit} new alerts within a minute",
        description="What came beyond them is stored with this alert.",
        severity=Severity.WARNING,
        rule="alerts_per_minute",
    )


def report_of(surge: SuppressedMinute) -> EventDraft:
    """The event that says how many there were, and ends the alert."""
    noun = "event" if surge.suppressed == 1 else "events"
    return EventDraft(
        event_key=SUPPRESSING_KEY,
        event_type=EventType.RECOVERY,
        title=f"{surge.suppressed} {noun} beyond {surge.limit} new alerts within a minute",
        description=f"{surge.suppressed} {noun} would have opened an alert each, and were stored with one alert instead.",
        severity=Severity.WARNING,
        rule="alerts_per_minute",
        additional_info={"alerts_opened": surge.opened, "events_folded": surge.suppressed, "limit": surge.limit},
        occurred_at=surge.ends,
        always_store=True,
    )
