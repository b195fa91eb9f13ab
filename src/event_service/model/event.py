"""An event before (`EventDraft`) and after (`Event`) it gets its id.

Source: EventInfo of spaceone.api.monitoring.v1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """ALERT opens or joins an alert, RECOVERY resolves it, ERROR reports an unreadable payload."""

    ALERT = "ALERT"
    RECOVERY = "RECOVERY"
    ERROR = "ERROR"


class Severity(StrEnum):
    """The severities of EventInfo."""

    NONE = "NONE"
    CRITICAL = "CRITICAL"
    ERROR = "ERROR"
    WARNING = "WARNING"
    INFO = "INFO"
    NOT_AVAILABLE = "NOT_AVAILABLE"


@dataclass(slots=True)
class EventDraft:
    """One event as parsed; the manager adds id, scope and alert.

    Attributes:
        event_key: identifies the condition, never empty.
        occurred_at: timezone-aware UTC, whole milliseconds; None if the sender gave none.
        additional_info: JSON object, trimmed.
        raw_data: the payload as received, reduced to this member if it held several.
        raw_wire: `raw_data` as serialised google.protobuf.Struct, if known.
        always_store: store even a recovery without an open alert, because the sender was promised an id.
        marks_trouble: sets `was_firing` of the condition (Cloud Eye: warning, incident).
        recovers_if_troubled: becomes a RECOVERY if `was_firing` is set, else keeps its `event_type` (Cloud Eye:
            normal). Decided when it is stored, by `events/alert_rules.py`.
        only_if_open: a RECOVERY that no sender wrote: it resolves an open alert, or leaves no trace.
        remark: a guess that the sender should hear of, or "". One of a fixed set: remarks are labels of a metric.
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
    only_if_open: bool = False
    remark: str = ""


@dataclass(slots=True)
class Event:
    """A draft with its id, scope and alert.

    Attributes:
        event_id: `event-` and 12 hexadecimal digits.
        alert_id: "" only for a recovery stored without an open alert.
        created_at: time of receipt, timezone-aware UTC, whole milliseconds.
        expire_at: time of deletion, likewise; None = never.
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
