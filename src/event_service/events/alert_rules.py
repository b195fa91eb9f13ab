"""Tie an event to its alert: open, join, supersede, resolve. Pure functions over one condition's row.

Source: "Alerts: what alert_id means" of the Event API's rules (docs/alerts.md).
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard

from event_service.model.condition import (
    MOST_RESOURCES,
    AlertReference,
    AlertState,
    Condition,
    Resolution,
    ResolutionReason,
    Urgency,
    alert_reference,
)
from event_service.model.event import EventDraft, EventType, Severity
from event_service.model.webhook import LONGEST_DUPLICATE_TIME

# A sender's clock that is years ahead must not block its alerts and recoveries until then.
CLOCK_TOLERANCE = timedelta(minutes=5)

# Peers of one cluster send what they know within seconds of each other.
_LATE_PEER = timedelta(minutes=5)
# A recovery reported that long after its end is no race of peers: what fires after it fires on.
_OLD_RECOVERY = timedelta(minutes=30)
SEVERITY_RANKS: Mapping[str, int] = {
    Severity.NONE: 0,
    Severity.INFO: 1,
    Severity.WARNING: 2,
    Severity.NOT_AVAILABLE: 3,
    Severity.ERROR: 4,
    Severity.CRITICAL: 5,
}
"""An alert has the highest severity of its events."""

_URGENT = frozenset({Severity.CRITICAL, Severity.ERROR, Severity.NOT_AVAILABLE})


@dataclass(frozen=True, slots=True)
class AlertRules:
    """The rules that settings and webhook options may change.

    Attributes:
        duplicate_event_time: how long after its newest ALERT was received an open alert takes further ones.
        auto_recovery: a RECOVERY resolves the alert it carries.
        store_unmatched_recovery: a RECOVERY without an open alert is stored.
        alerts_per_minute: new alerts a webhook may open in a minute; 0 = unlimited.
    """

    duplicate_event_time: timedelta
    auto_recovery: bool = True
    store_unmatched_recovery: bool = False
    alerts_per_minute: int = 0


def rules_of(defaults: AlertRules, options: Mapping[str, Any]) -> AlertRules:
    """Return the rules of a webhook.

    Args:
        options: of the webhook. Validated on write, but a document of upstream may hold anything.
    """
    if not options:
        return defaults
    seconds, most = options.get("duplicate_event_time"), options.get("alerts_per_minute")
    together = defaults.duplicate_event_time
    if _is_number(seconds) and 0 <= seconds <= LONGEST_DUPLICATE_TIME:
        together = timedelta(seconds=seconds)
    return AlertRules(
        duplicate_event_time=together,
        auto_recovery=options.get("auto_recovery", True) is not False,
        store_unmatched_recovery=defaults.store_unmatched_recovery,
        alerts_per_minute=int(most) if _is_number(most) and most >= 0 else defaults.alerts_per_minute,
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class Decision(NamedTuple):
    """The decision about one event.

    Attributes:
        event_type: the draft's, or RECOVERY if the condition made it one.
        alert: the alert the event carries; None for a recovery without one.
        stored: False for a recovery without an open alert: only its time is remembered.
        opens: state of the alert to be created as `alert`; None if it exists.
        resolution: the alert that the event ends, if any.
    """

    event_type: EventType
    alert: AlertReference | None
    stored: bool = True
    opens: AlertState | None = None
    resolution: Resolution | None = None


def condition_id_of(webhook_id: str, domain_id: str, workspace_id: str, project_id: str, event_key: str) -> str:
    """Return a condition_id: 32 hexadecimal digits. Length prefixes keep ("a", "bc") and ("ab", "c") apart."""
    digest = _owner_digest(webhook_id, domain_id, workspace_id, project_id).copy()
    digest.update(_prefixed(event_key))
    return digest.hexdigest()[:32]


@lru_cache(1024)
def _owner_digest(*owner: str) -> "hashlib._Hash":
    # All conditions of a webhook share this prefix of the digest.
    return hashlib.sha256(b"".join(map(_prefixed, owner)))


def _prefixed(part: str) -> bytes:
    encoded = part.encode("utf-8", "surrogatepass")
    return b"%d:%b" % (len(encoded), encoded)


def effective_time(occurred_at: datetime | None, received_at: datetime) -> datetime:
    """Return the time by which events are ordered: occurred_at, else receipt, at most receipt + 5 min."""
    if occurred_at is None:
        return received_at
    return min(occurred_at, received_at + CLOCK_TOLERANCE)


def urgency_of(severity: Severity) -> Urgency:
    return Urgency.HIGH if severity in _URGENT else Urgency.LOW


def decide(
    condition: Condition, draft: EventDraft, received_at: datetime, rules: AlertRules
) -> tuple[Condition, Decision]:
    """Tie one event to its alert.

    Returns:
        The row after the event, and the decision about it.
    """
    at = effective_time(draft.occurred_at, received_at)
    event_type = draft.event_type
    if draft.recovers_if_troubled and condition.was_firing:
        event_type = EventType.RECOVERY
    if draft.marks_trouble and not condition.was_firing:
        condition = condition._replace(was_firing=True)
    if event_type is EventType.RECOVERY:
        if draft.only_if_open and not condition.is_open:
            return condition, Decision(EventType.RECOVERY, None, stored=False)
        return _recover(condition, draft, at, received_at, rules)
    return _alert(condition, draft, at, received_at, rules)


def _recover(
    condition: Condition, draft: EventDraft, at: datetime, received_at: datetime, rules: AlertRules
) -> tuple[Condition, Decision]:
    newest_alert_at = condition.newest_alert_at
    condition = condition._replace(
        newest_recovery_at=_later(condition.newest_recovery_at, at), recovery_received_at=received_at
    )
    # Remembered even if unmatched: an alert that arrives late must not reopen what has recovered.
    alert = condition.alert
    if not condition.is_open or alert is None:
        return condition, Decision(
            EventType.RECOVERY, None, stored=draft.always_store or rules.store_unmatched_recovery
        )
    # The condition has fired again since, so its alert stays open.
    outdated = newest_alert_at is not None and at < newest_alert_at
    if outdated or not rules.auto_recovery:
        return condition, Decision(EventType.RECOVERY, alert)
    resolution = Resolution(alert, ResolutionReason.RECOVERED, at, received_at, condition.opened_at)
    return condition._replace(is_open=False), Decision(EventType.RECOVERY, alert, resolution=resolution)


def _alert(
    condition: Condition, draft: EventDraft, at: datetime, received_at: datetime, rules: AlertRules
) -> tuple[Condition, Decision]:
    event_type = draft.event_type
    newest_alert_at = _later(condition.newest_alert_at, at)
    recovered_at = condition.newest_recovery_at
    stale = recovered_at is not None and at < recovered_at and not _fires_on(condition, at, received_at)
    if stale and condition.alert is not None:
        return condition._replace(newest_alert_at=newest_alert_at), Decision(event_type, condition.alert)
    received = condition.alert_received_at
    if (
        not stale
        and condition.is_open
        and condition.alert is not None
        and received is not None
        and received_at - received <= rules.duplicate_event_time
    ):
        condition = condition._replace(
            newest_alert_at=newest_alert_at,
            alert_received_at=_later(received, received_at),
            severity=_higher(condition.severity, draft.severity),
            resources=_union(condition.resources, draft.resources),
        )
        return condition, Decision(event_type, condition.alert)

    generation = condition.generation + 1
    alert = alert_reference(condition.condition_id, generation)
    resolution: Resolution | None = None
    if condition.is_open and condition.alert is not None:
        resolution = Resolution(condition.alert, ResolutionReason.SUPERSEDED, at, received_at, condition.opened_at)
    # The event has recovered before it arrived: its alert is created, but alerts no one.
    if stale:
        state = AlertState.RESOLVED
    else:
        state = AlertState.ERROR if event_type is EventType.ERROR else AlertState.TRIGGERED
    # `_replace` costs four times as much, and nearly every event of an alert storm comes here.
    opened = Condition(
        condition.condition_id,
        condition.webhook_id,
        condition.event_key,
        generation=generation,
        alert=alert,
        is_open=not stale,
        alert_received_at=received_at,
        newest_alert_at=newest_alert_at,
        newest_recovery_at=condition.newest_recovery_at,
        was_firing=condition.was_firing,
        recovery_received_at=condition.recovery_received_at,
        severity=str(draft.severity),
        resources=_union((), draft.resources),
        opened_at=received_at,
    )
    return opened, Decision(event_type, alert, opens=state, resolution=resolution)


def _fires_on(condition: Condition, at: datetime, received_at: datetime) -> bool:
    """Return whether a firing repeats the start of a recovered alert too late to be a peer's.

    The sender ended the alert by timeout, and it goes on (Alertmanager). An alert that was resolved by hand stays so.
    """
    recovered_at, known_at = condition.newest_recovery_at, condition.recovery_received_at
    if at != condition.newest_alert_at or recovered_at is None or known_at is None:
        return False
    return received_at - known_at > _LATE_PEER or received_at - recovered_at > _OLD_RECOVERY


def _higher(known: str, other: Severity) -> str:
    return str(other) if SEVERITY_RANKS[other] > SEVERITY_RANKS.get(known, -1) else known


def _union(known: tuple[str, ...], others: Sequence[str]) -> tuple[str, ...]:
    if not others:
        return known
    if not known:
        return tuple(dict.fromkeys(others))[:MOST_RESOURCES]
    new = [name for name in dict.fromkeys(others) if name not in known][: MOST_RESOURCES - len(known)]
    return (*known, *new) if new else known


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None or other > one else one
