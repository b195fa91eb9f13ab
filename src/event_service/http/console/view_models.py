"""Events as the templates show them, and the templates' formats."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.http.console.rendering import Verbatim
from event_service.printable import printable_json
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
"""Columns of a table row; raw data may take megabytes."""

_SHOWN_RAW = 256 * 1024


@dataclass(frozen=True)
class EventRow:
    """A row of a table of events.

    Attributes:
        at: time of receipt.
        webhook: the webhook's name, or its id if the name is unknown.
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
    """An event with all fields.

    Attributes:
        fields: names and values of the remaining fields that are not empty.
        additional: names and values of additional_info, the values as text.
        raw: the raw data as indented JSON.
        raw_cut: only the beginning of the raw data is shown.
    """

    description: str
    fields: tuple[tuple[str, str], ...]
    additional: tuple[tuple[str, str], ...]
    raw: str
    raw_cut: bool


def event_row(wire: bytes, names: Mapping[str, str]) -> EventRow:
    """Decode EventInfo bytes to a row.

    Args:
        names: names of webhooks by id.
    """
    return EventRow(**_row_fields(event_pb2.EventInfo.FromString(wire), names))


def event_view(wire: bytes, names: Mapping[str, str]) -> EventView:
    """Decode EventInfo bytes to an event with all fields."""
    event = event_pb2.EventInfo.FromString(wire)
    raw = printable_json(struct_to_dict(event.raw_data), indent=2)
    named = ("event_id", "event_key", "rule", "provider", "account", "image_url", "occurred_at", "created_at")
    ids = ("alert_id", "webhook_id", "project_id", "workspace_id", "domain_id")
    return EventView(
        **_row_fields(event, names),
        description=event.description,
        fields=tuple((name, getattr(event, name)) for name in (*named, *ids) if getattr(event, name)),
        additional=tuple((name, _text(value)) for name, value in struct_to_dict(event.additional_info).items()),
        raw=Verbatim(raw[:_SHOWN_RAW]),
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
    return value if isinstance(value, str) else Verbatim(printable_json(value))


def number(value: float) -> str:
    """Format a count with narrow no-break spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def clock(moment: datetime) -> str:
    """Format a time to the second, UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def iso(moment: datetime) -> str:
    """Format a time as ISO 8601 with milliseconds, UTC."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def words(name: str) -> str:
    """Format an identifier as words: `not available`."""
    return name.replace("_", " ").lower()
