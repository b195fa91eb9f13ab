"""What an event is, before (`EventDraft`) and after (`Event`) it is stored.

Source: EventInfo of spaceone.api.monitoring.v1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """ALERT opens or joins an alert, RECOVERY resolves it, ERROR says that something could not be read."""

    ALERT = "ALERT"
    RECOVERY = "RECOVERY"
    ERROR = "ERROR"


class Severity(StrEnum):
    """How bad it is, as EventInfo names it."""

    NONE = "NONE"
    CRITICAL = "CRITICAL"
    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"
    NOT_AVAILABLE = "NOT_AVAILABLE"


@dataclass(slots=True)
class EventDraft:
    """One event as a parser understood it; the manager adds identity, scope and alert.

    Attributes:
        event_key: names the condition the event is about, never empty.
        occurred_at: timezone-aware UTC, whole milliseconds; None where the sender gave none.
        additional_info: JSON object, trimmed.
        raw_data: the payload as received, with this one member only where it held several.
        raw_wire: `raw_data` as serialised google.protobuf.Struct, where the caller has it anyway.
        always_store: an id was promised to the sender: store even a recovery with nothing open.
        marks_trouble: the condition remembers that it was once in trouble (Cloud Eye: warning, incident).
        recovers_if_troubled: becomes a RECOVERY if its condition was ever in trouble, else stays what
            `event_type` says (Cloud Eye: normal). Decided when it is stored, by `events/alert_rules.py`.
    """

    event_key: str
    event_type: EventType = EventType.ALERT
    title: str = ""
    description: str = ""
    severity: Severity = Severity.NONE
    rule: str = ""
    image_url: str = ""
    resources: list[str] = field(default_factory=list)
    provider: str = ""
    account: str = ""
    additional_info: dict[str, Any] = field(default_factory=dict)
    occurred_at: datetime | None = None
    raw_data: Mapping[str, Any] = field(default_factory=dict)
    raw_wire: bytes | None = None
    always_store: bool = False
    marks_trouble: bool = False
    recovers_if_troubled: bool = False


@dataclass(slots=True)
class Event:
    """A finished event: the draft, who it belongs to, and the alert it is tied to.

    Attributes:
        event_id: `event-` and 12 hexadecimal digits.
        alert_id: "" only for a recovery that was stored without an open alert.
        created_at: when it was received, timezone-aware UTC, whole milliseconds.
        expire_at: when it is deleted, likewise; None = never.
    """

    event_id: str
    draft: EventDraft
    domain_id: str
    workspace_id: str
    project_id: str
    webhook_id: str
    created_at: datetime
    alert_id: str = ""
    expire_at: datetime | None = None
