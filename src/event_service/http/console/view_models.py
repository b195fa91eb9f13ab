"""Events and alerts as the templates show them, and the templates' formats."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.http.console.rendering import Verbatim
from event_service.model.condition import AlertState, ResolutionReason
from event_service.printable import printable_json, printable_lines
from event_service.store.alert_reader import AlertEvents
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

ALERT_COLUMNS = (
    "alert_id",
    "title",
    "state",
    "severity",
    "resources",
    "webhook_id",
    "assignee",
    "created_at",
)

_SHOWN_RAW = 256 * 1024

# Without characters that end an address in running text, and without `printable`'s escapes.
_LINK = re.compile(r"""https?://[^\s<>"'`\\^{|}]+""", re.IGNORECASE)
_AFTER_LINK = ".,;:!?)]*_"

_ENDED_BY = {
    ResolutionReason.RECOVERED: "by a recovery",
    ResolutionReason.SUPERSEDED: "superseded by the next alert",
    ResolutionReason.NO_NEWS: "without news from the tool",
}


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


@dataclass(frozen=True)
class AlertRow:
    """A row of a table of alerts.

    Attributes:
        at: when it was opened.
        webhook: the webhook's name, or its id if the name is unknown; "" for an alert that a person has created.
        events: number of its events.
    """

    alert_id: str
    title: str
    state: str
    severity: str
    resources: tuple[str, ...]
    webhook: str
    assignee: str
    at: datetime
    events: int


@dataclass(frozen=True)
class AlertView(AlertRow):
    """An alert with all fields.

    Attributes:
        history: what has become of it, oldest first: the state, when, and by whom.
        links: names and addresses that the tool has sent, http and https only.
        fields, additional: see `EventView`.
    """

    description: str
    history: tuple[tuple[str, datetime, str], ...]
    links: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, str], ...]
    additional: tuple[tuple[str, str], ...]


def alert_row(alert: Mapping[str, Any], events: AlertEvents | None, names: Mapping[str, str]) -> AlertRow:
    """Return fields of AlertInfo as a row.

    Args:
        events: None if the alert was deleted meanwhile.
        names: names of webhooks by id.
    """
    return AlertRow(**_alert_row_fields(alert, events, names))


def alert_view(alert: Mapping[str, Any], events: AlertEvents | None, names: Mapping[str, str]) -> AlertView:
    """Return fields of AlertInfo as an alert with all fields."""
    named = ("alert_number", "alert_id", "urgency", "rule", "provider", "account")
    ids = ("webhook_id", "project_id", "workspace_id", "domain_id")
    additional = alert.get("additional_info") or {}
    return AlertView(
        **_alert_row_fields(alert, events, names),
        description=alert.get("description") or "",
        history=tuple(_history(alert, events, names)),
        links=tuple(_links({"image": alert.get("image_url"), **additional})),
        fields=tuple((name, str(alert[name])) for name in (*named, *ids) if alert.get(name)),
        additional=tuple((name, _text(value)) for name, value in additional.items()),
    )


def _alert_row_fields(alert: Mapping[str, Any], events: AlertEvents | None, names: Mapping[str, str]) -> dict[str, Any]:
    webhook_id = alert.get("webhook_id") or ""
    return {
        "alert_id": alert["alert_id"],
        "title": alert.get("title") or "",
        "state": alert.get("state") or "",
        "severity": alert.get("severity") or "NONE",
        "resources": tuple(one["name"] for one in alert.get("resources") or () if one.get("name")),
        "webhook": names.get(webhook_id, webhook_id),
        "assignee": alert.get("assignee") or "",
        "at": alert.get("created_at") or datetime.fromtimestamp(0, UTC),
        "events": events.number if events else 0,
    }


def _history(
    alert: Mapping[str, Any], events: AlertEvents | None, names: Mapping[str, str]
) -> Iterator[tuple[str, datetime, str]]:
    responder = alert.get("responder") or ""
    reason = events.resolved_by if events else ""
    by_hand = reason == ResolutionReason.MANUAL
    if opened_at := alert.get("created_at"):
        opened_by = alert.get("triggered_by") or alert.get("webhook_id") or ""
        yield "opened", opened_at, f"by {names.get(opened_by, opened_by)}" if opened_by else ""
    if acknowledged_at := alert.get("acknowledged_at"):
        # `responder` is who changed the state last.
        yield "acknowledged", acknowledged_at, f"by {responder}" if responder and not by_hand else ""
    if alert.get("state") == AlertState.RESOLVED and (resolved_at := alert.get("resolved_at")):
        yield "resolved", resolved_at, f"by {responder}" if by_hand else _ENDED_BY.get(reason, "")  # type: ignore[call-overload]


def _links(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts that are one http or https address, with the names of their keys."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _links(value, f"{prefix}{name} ")
        elif isinstance(value, str) and _LINK.fullmatch(value):
            yield f"{prefix}{name}", value


def linked(text: str) -> Markup:
    """Return text as HTML in which http and https addresses are links."""
    text = text if isinstance(text, Verbatim) else printable_lines(text)
    parts, end = [], 0
    for found in _LINK.finditer(text):
        address = found[0].rstrip(_AFTER_LINK)
        parts += [Markup.escape(text[end : found.start()]), link(address, address)]
        end = found.start() + len(address)
    return Markup().join([*parts, Markup.escape(text[end:])])


def link(address: str, label: str) -> Markup:
    """Return a link as HTML that tells the other site nothing about the console.

    Args:
        address: an http or https address, without control characters.
    """
    return Markup('<a href="{}" rel="noopener noreferrer nofollow">{}</a>').format(address, printable_lines(label))


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


def age(moment: datetime, now: datetime) -> str:
    """Format the time since a moment in its largest unit, as `console.js` does: `5 min`."""
    seconds = max(int((now - moment).total_seconds()), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def words(name: str) -> str:
    """Format an identifier as words: `not available`."""
    return name.replace("_", " ").lower()
