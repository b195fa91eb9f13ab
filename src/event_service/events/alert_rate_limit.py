"""Limit the alerts that a webhook may open in a minute. Pure except for its counters.

A misbehaving collector must not open a thousand alerts. Beyond the limit an event is stored like any other, but joins
one alert that stands for all suppressed alerts of its webhook. After the minute one event reports their number and
resolves that alert.
"""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from event_service.events.alert_rules import condition_id_of
from event_service.model.condition import Condition, ConditionKey
from event_service.model.event import EventDraft, EventType, Severity

SUPPRESSING_KEY = "more-alerts-than-allowed"
"""The event_key of the alert that stands for the suppressed ones, and of its report."""

MINUTE = timedelta(minutes=1)


@dataclass(slots=True)
class SuppressedMinute:
    """The alerts of one webhook in one minute.

    Attributes:
        key: of the suppressing alert.
        begins: start of the minute, timezone-aware UTC.
        limit: alerts it may open in a minute.
        opened: alerts it opened.
        suppressed: events that would have opened further alerts.
    """

    key: ConditionKey
    begins: datetime
    limit: int
    opened: int = 0
    suppressed: int = 0

    @property
    def ends(self) -> datetime:
        return self.begins + MINUTE


class AlertRateLimit:
    """The counters of this process. The writer thread counts; the event loop takes the ended minutes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: dict[str, SuppressedMinute] = {}
        self._ended: list[SuppressedMinute] = []

    def admits(self, key: ConditionKey, received_at: datetime, limit: int) -> bool:
        """Return whether the webhook may open one more alert; count it either way.

        Args:
            key: of the condition whose alert it is.
            limit: alerts a minute, more than 0.
        """
        minute = received_at.replace(second=0, microsecond=0)
        with self._lock:
            current = self._current.get(key.webhook_id)
            if current is None or current.begins < minute:
                if current is not None and current.suppressed:
                    self._ended.append(current)
                current = self._current[key.webhook_id] = SuppressedMinute(suppressing_key(key), minute, limit)
            if current.opened < limit:
                current.opened += 1
                return True
            current.suppressed += 1
            current.limit = limit
            return False

    def take_ended(self, now: datetime | None = None) -> list[SuppressedMinute]:
        """Return the ended minutes with suppressed alerts, each once.

        Args:
            now: None for all minutes, ended or not.
        """
        with self._lock:
            for webhook_id, minute in list(self._current.items()):
                if now is None or minute.ends <= now:
                    del self._current[webhook_id]
                    if minute.suppressed:
                        self._ended.append(minute)
            ended, self._ended = self._ended, []
            return ended


def suppressing_key(key: ConditionKey) -> ConditionKey:
    """Return the key of the webhook's suppressing alert."""
    return key._replace(event_key=SUPPRESSING_KEY)


def suppressing_condition_id(key: ConditionKey) -> str:
    return condition_id_of(*suppressing_key(key))


def suppressed(before: Condition, after: Condition) -> Condition:
    """Return the row of a condition whose event was suppressed: it has seen the event but opened no alert."""
    return before._replace(newest_alert_at=after.newest_alert_at, was_firing=after.was_firing)


def suppressing_alert(limit: int) -> EventDraft:
    """Return the draft from which the suppressing alert is opened."""
    return EventDraft(
        event_key=SUPPRESSING_KEY,
        title=f"More than {limit} new alerts within a minute",
        description="Further events are stored with this alert.",
        severity=Severity.WARNING,
        rule="alerts_per_minute",
    )


def report_of(minute: SuppressedMinute) -> EventDraft:
    """Return the event that reports the number of suppressed alerts and resolves the suppressing one."""
    noun = "event" if minute.suppressed == 1 else "events"
    return EventDraft(
        event_key=SUPPRESSING_KEY,
        event_type=EventType.RECOVERY,
        title=f"{minute.suppressed} {noun} beyond {minute.limit} new alerts within a minute",
        description=f"{minute.suppressed} {noun} joined this alert instead of opening one each.",
        severity=Severity.WARNING,
        rule="alerts_per_minute",
        additional_info={"alerts_opened": minute.opened, "events_folded": minute.suppressed, "limit": minute.limit},
        occurred_at=minute.ends,
        always_store=True,
    )
