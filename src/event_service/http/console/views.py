"""Events and webhooks as the templates show them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.wire.struct_decode import struct_to_dict
from event_service.wire.timestamps import parse_timestamp

COLUMNS = (
    "event_id",
    "event_key",
    "event_type",
    "title",
    "severity",
    "resources",
    "provider",
    "alert_id",
    "webhook_id",
    "created_at",
    "occurred_at",
)
"""What a row of the table needs: raw data may be megabytes."""

_SHOWN_RAW = 256 * 1024


@dataclass(frozen=True)
class EventRow:
    """A row of a table of events.

    Attributes:
        at: when it was received.
        webhook: the webhook's name, or its id where the name is not known.
    """

    event_id: str
    event_key: str
    event_type: str
    title: str
    severity: str
    resources: tuple[str, ...]
    provider: str
    alert_id: str
    webhook: str
    at: datetime


@dataclass(frozen=True)
class EventView(EventRow):
    """An event with everything that is known of it.

    Attributes:
        fields: name and value of what has no place of its own, without what is empty.
        additional: names and values, the values as text.
        raw: the raw data as indented JSON; `raw_cut` where only its beginning is shown.
    """

    description: str
    fields: tuple[tuple[str, str], ...]
    additional: tuple[tuple[str, str], ...]
    raw: str
    raw_cut: bool


def event_row(wire: bytes, names: Mapping[str, str]) -> EventRow:
    """A row from EventInfo bytes.

    Args:
        names: of webhooks, by id.
    """
    return EventRow(**_row_fields(event_pb2.EventInfo.FromString(wire), names))


def event_view(wire: bytes, names: Mapping[str, str]) -> EventView:
    """The whole event from EventInfo bytes."""
    event = event_pb2.EventInfo.FromString(wire)
    raw = json.dumps(struct_to_dict(event.raw_data), indent=2, ensure_ascii=False)
    named = ("event_id", "event_key", "rule", "provider", "account", "image_url", "occurred_at", "created_at")
    ids = ("alert_id", "webhook_id", "project_id", "workspace_id", "domain_id")
    return EventView(
        **_row_fields(event, names),
        description=event.description,
        fields=tuple((name, getattr(event, name)) for name in (*named, *ids) if getattr(event, name)),
        additional=tuple((name, _text(value)) for name, value in struct_to_dict(event.additional_info).items()),
        raw=raw[:_SHOWN_RAW],
        raw_cut=len(raw) > _SHOWN_RAW,
    )


def _row_fields(event: event_pb2.EventInfo, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "event_key": event.event_key,
        "event_type": event.event_type,
        "title": event.title,
        "severity": event.severity or "NONE",
        "resources": tuple(event.resources),
        "provider": event.provider,
        "alert_id": event.alert_id,
        "webhook": names.get(event.webhook_id, event.webhook_id),
        "at": _moment(event.created_at),
    }


def _moment(text: str) -> datetime:
    try:
        return parse_timestamp(text)
    except ValueError:  # an upstream document may lack it
        return datetime.fromtimestamp(0, UTC)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number(value: float) -> str:
    """A count with thin blanks between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def clock(moment: datetime) -> str:
    """A point in time to the second, UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def iso(moment: datetime) -> str:
    """A point in time for programs."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def words(name: str) -> str:
    """The name of a severity or field as people write it: `not available`."""
    return name.replace("_", " ").lower()
