"""What the service remembers of one event_key of one webhook, and of the alerts it led to.

Source: "Alerts: what alert_id means" of the Event API's rules, kept in docs/alerts.md.

Named tuples: several of these are made for each event that is stored, and a frozen dataclass costs three times as much.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from event_service.model.event import Severity


class AlertState(StrEnum):
    """As upstream's Alert names them; ACKNOWLEDGED is only ever read, from an upstream database."""

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


class AlertReference(NamedTuple):
    """An alert by both of its names.

    Attributes:
        object_id: 24 hexadecimal digits, the document's `_id`; "" where an upstream event names none.
        alert_id: `alert-` and 12 hexadecimal digits.
    """

    object_id: str
    alert_id: str


class Resolution(NamedTuple):
    """An alert that is to be closed once the event that closes it is stored.

    Attributes:
        event_object_id: `_id` of the recovery (or of the event that opened the next alert).
        at: effective time of that event.
    """

    alert: AlertReference
    reason: ResolutionReason
    event_object_id: str
    at: datetime


class Condition(NamedTuple):
    """One row per condition: enough to tie any further event to its alert without a search.

    Attributes:
        condition_id: digest of webhook, domain, workspace, project and event_key.
        version: counts the writes of the row; 0 = not stored yet.
        generation: how many alerts the condition has had; names the next one.
        alert: its newest alert, open or not; None if it never had one.
        alert_received_at: when the newest ALERT or ERROR was received.
        newest_alert_at, newest_recovery_at: effective times (event-api rule: occurred_at, else receipt,
            never later than receipt + 5 min).
        was_firing: whether an event with `marks_trouble` was ever seen.
        resolutions: alerts whose resolution has been decided but not yet carried out.
        pending_since: when the last of them was decided: the newest receipt of its batch; None without resolutions.
    """

    condition_id: str
    webhook_id: str
    event_key: str
    version: int = 0
    generation: int = 0
    alert: AlertReference | None = None
    is_open: bool = False
    alert_received_at: datetime | None = None
    newest_alert_at: datetime | None = None
    newest_recovery_at: datetime | None = None
    was_firing: bool = False
    resolutions: tuple[Resolution, ...] = ()
    pending_since: datetime | None = None


class ConditionKey(NamedTuple):
    """The fields that make a condition, to look for events of an upstream database by."""

    webhook_id: str
    domain_id: str
    workspace_id: str
    project_id: str
    event_key: str


class PastEvent(NamedTuple):
    """The newest event of a condition that has no row yet."""

    alert: AlertReference
    created_at: datetime
    occurred_at: datetime | None


class Alert(NamedTuple):
    """A new alert, as it is first stored. Field names are upstream's."""

    reference: AlertReference
    state: AlertState
    urgency: Urgency
    severity: Severity
    title: str
    description: str
    rule: str
    image_url: str
    resources: list[str]
    provider: str
    account: str
    webhook_id: str
    project_id: str
    workspace_id: str
    domain_id: str
    created_at: datetime
    resolved_at: datetime | None = None
