"""The state of one event_key of one webhook, and its alerts.

Source: "Alerts: what alert_id means" of the Event API's rules, kept in docs/alerts.md.

Named tuples, because each stored event creates several and a frozen dataclass costs three times as much.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from event_service.model.event import Severity

MOST_RESOURCES = 100
"""Resources of an alert; further ones are left out."""


class AlertState(StrEnum):
    """The states of upstream's Alert. All but RESOLVED are open."""

    TRIGGERED = "TRIGGERED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESOLVED = "RESOLVED"
    ERROR = "ERROR"


class Urgency(StrEnum):
    HIGH = "HIGH"
    LOW = "LOW"


class ResolutionReason(StrEnum):
    RECOVERED = "RECOVERED"
    SUPERSEDED = "SUPERSEDED"
    MANUAL = "MANUAL"
    NO_NEWS = "NO_NEWS"


class AlertReference(NamedTuple):
    """Both ids of an alert.

    Attributes:
        object_id: 24 hexadecimal digits, the document's `_id`; "" if an upstream event names none.
        alert_id: `alert-` and 12 hexadecimal digits.
    """

    object_id: str
    alert_id: str


class Resolution(NamedTuple):
    """The end of an alert.

    Attributes:
        at: effective time of the recovery (or of the event that opened the next alert), aware UTC.
        received_at: when that event was received, aware UTC.
        opened_at: when the alert was opened; None if unknown.
    """

    alert: AlertReference
    reason: ResolutionReason
    at: datetime
    received_at: datetime
    opened_at: datetime | None = None


class Condition(NamedTuple):
    """The row of one condition: enough to tie the next event to its alert without a search.

    Attributes:
        condition_id: digest of webhook, domain, workspace, project and event_key.
        generation: number of alerts the condition has had.
        alert: its newest alert, open or not; None for none.
        alert_received_at: when the newest ALERT or ERROR was received.
        newest_alert_at, newest_recovery_at: effective times (event-api rule: occurred_at, else receipt,
            never later than receipt + 5 min).
        recovery_received_at: when the newest RECOVERY was received; None if a person resolved the alert.
        was_firing: an event with `marks_trouble` was seen.
        severity: the highest of the ALERT and ERROR events that the open alert has had; "" if unknown, as in rows of
            earlier versions.
        resources: of the same events, at most MOST_RESOURCES.
        opened_at: when the newest alert was opened; None if unknown, as in rows of earlier versions.
    """

    condition_id: str
    webhook_id: str
    event_key: str
    generation: int = 0
    alert: AlertReference | None = None
    is_open: bool = False
    alert_received_at: datetime | None = None
    newest_alert_at: datetime | None = None
    newest_recovery_at: datetime | None = None
    was_firing: bool = False
    recovery_received_at: datetime | None = None
    severity: str = ""
    resources: tuple[str, ...] = ()
    opened_at: datetime | None = None


class ConditionKey(NamedTuple):
    """The fields that identify a condition."""

    webhook_id: str
    domain_id: str
    workspace_id: str
    project_id: str
    event_key: str


class PastEvent(NamedTuple):
    """The newest event of a condition without a row, in a database of upstream."""

    alert: AlertReference
    created_at: datetime
    occurred_at: datetime | None


class Alert(NamedTuple):
    """A new alert. The field names are upstream's.

    Attributes:
        condition_id: its condition; "" for one that a person has created.
        triggered_by: webhook_id, or the person's user id.
    """

    reference: AlertReference
    condition_id: str
    state: AlertState
    urgency: Urgency
    severity: Severity
    title: str
    description: str
    rule: str
    image_url: str
    resources: Sequence[str]
    provider: str
    account: str
    additional_info: Mapping[str, Any]
    triggered_by: str
    webhook_id: str
    project_id: str
    workspace_id: str
    domain_id: str
    created_at: datetime
    resolved_at: datetime | None = None
    assignee: str = ""


@dataclass(slots=True)
class AlertActivity:
    """The events of one batch that join an alert.

    Attributes:
        events: their number.
        last_event_at: when the newest of them was received, aware UTC.
        severity, resources: of the alert with these events; None if they do not change.
    """

    alert: AlertReference
    last_event_at: datetime
    events: int = 0
    severity: str | None = None
    resources: tuple[str, ...] | None = None


def alert_reference(condition_id: str, generation: int) -> AlertReference:
    """Return both ids of a condition's n-th alert.

    They depend on the condition alone, so that two replicas cannot open it twice.
    """
    digest = hashlib.sha256(f"{condition_id}:{generation}".encode()).hexdigest()
    return AlertReference(object_id=digest[:24], alert_id=f"alert-{digest[24:36]}")
