"""Limit the alerts that a webhook may open in a minute. Pure.

A misbehaving collector must not open a thousand alerts. Beyond the limit an event is stored like any other, but joins
one alert that stands for all suppressed alerts of its webhook and minute. After the minute one event reports their
number and resolves that alert: `alerts/rate_reports.py`.

All replicas share the limit. One that has opened more than a quarter of it counts the alerts of the minute in the
database; up to four therefore keep it together, but for batches in flight at the same time.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from event_service.events.alert_rules import AlertRules, Decision, condition_id_of, decide
from event_service.model.condition import Condition, ConditionKey, RateReport
from event_service.model.event import EventDraft, EventType, Severity

SUPPRESSING_KEY = "more-alerts-than-allowed"
"""The event_key of the alert that stands for the suppressed ones, and of its report."""

MINUTE = timedelta(minutes=1)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_REPLICAS = 4  # that share the limit before they count in the database
_JOIN = AlertRules(timedelta.max)
_OPEN_NEXT = AlertRules(-MINUTE)


class AlertRateLimit:
    """The alerts that webhooks have opened in the newest minute, as far as this process knows.

    Each attempt to write a batch counts in a copy, so that an attempt that fails has counted nothing.

    Args:
        minute: its start, aware UTC.
        opened: number of alerts by webhook_id.
    """

    def __init__(self, minute: datetime = _LONG_AGO, opened: Mapping[str, int] = {}) -> None:
        self._minute = minute
        self._opened = dict(opened)
        self._added: dict[str, int] = {}
        self._counted: set[str] = set()

    def copy(self) -> "AlertRateLimit":
        """Return the limit for the next attempt."""
        return AlertRateLimit(self._minute, self._opened)

    def admits(
        self,
        webhook_id: str,
        received_at: datetime,
        limit: int,
        count: Callable[[datetime], int],
        *,
        always: bool = False,
    ) -> bool:
        """Return whether the webhook may open one more alert, and count the alert if so.

        Args:
            limit: alerts a minute, more than 0.
            count: returns the number of stored alerts of the webhook that count in the minute that begins then; called
                at most once per webhook and attempt.
            always: the alert is opened in any case.
        """
        minute = minute_of(received_at)
        # Late events count in the current minute; much earlier ones come from a clock that was set back.
        if not timedelta(0) <= self._minute - minute <= MINUTE:
            self._minute = minute
            for numbers in (self._opened, self._added, self._counted):
                numbers.clear()
        opened, added = self._opened.get(webhook_id, 0), self._added.get(webhook_id, 0)
        if limit < (opened + 1) * _REPLICAS and opened < limit and webhook_id not in self._counted:
            self._counted.add(webhook_id)
            opened = max(opened, count(self._minute) + added)
        admitted = always or opened < limit
        self._opened[webhook_id] = opened + admitted
        self._added[webhook_id] = added + admitted
        return admitted


def minute_of(moment: datetime) -> datetime:
    """Return the start of its minute."""
    return moment.replace(second=0, microsecond=0)


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


def suppress(row: Condition, draft: EventDraft, received_at: datetime) -> tuple[Condition, Decision]:
    """Tie a suppressed event to the suppressing alert of its minute.

    Args:
        row: of the suppressing condition.
        draft: the suppressing alert's.

    Returns:
        The row after the event, and the decision about it.
    """
    same_minute = row.opened_at is not None and minute_of(row.opened_at) >= minute_of(received_at)
    # An event that is written after the report of its minute opens an alert of its own, or no report would count it.
    at = received_at if row.newest_recovery_at is None else max(received_at, row.newest_recovery_at)
    return decide(row, draft, at, _JOIN if same_minute else _OPEN_NEXT)


def report_of(report: RateReport, opened: int, suppressed: int) -> EventDraft:
    """Return the event that reports the number of suppressed events and resolves the suppressing alert.

    Args:
        opened: alerts that the webhook opened in the minute.
    """
    noun = "event" if suppressed == 1 else "events"
    return EventDraft(
        event_key=SUPPRESSING_KEY,
        event_type=EventType.RECOVERY,
        title=f"{suppressed} {noun} beyond {report.limit} new alerts within a minute",
        description=f"{suppressed} {noun} joined this alert instead of opening one each.",
        severity=Severity.WARNING,
        rule="alerts_per_minute",
        additional_info={"alerts_opened": opened, "events_folded": suppressed, "limit": report.limit},
        occurred_at=report.due_at,
    )
