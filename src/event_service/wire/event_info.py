"""EventInfo and EventsInfo of spaceone.api.monitoring.v1, put together as wire bytes.

A stored event keeps its finished EventInfo; a reply is those bytes, spliced. So an event is encoded once, when it is
stored, and not at each read.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import TooLarge
from event_service.model.event import Event
from event_service.wire.errors import NOT_UNICODE, RefusedValueError
from event_service.wire.struct_encode import encode_struct
from event_service.wire.timestamps import format_timestamp
from event_service.wire.varint import Prefixes, varint

MAX_TOTAL_COUNT = 2**31 - 1
"""total_count is an int32; more matches are told as this many."""

_Fields: TypeAlias = tuple[tuple[str, Prefixes], ...]

_FIELDS: _Fields = tuple(
    (field.name, Prefixes(field.number << 3 | 2)) for field in event_pb2.EventInfo.DESCRIPTOR.fields
)
_STRUCTS = frozenset({"additional_info", "raw_data"})
_BY_NAME = dict(_FIELDS)
_ALERT_ID = _BY_NAME["alert_id"]
_ROW = Prefixes(event_pb2.EventsInfo.RESULTS_FIELD_NUMBER << 3 | 2)
_TOTAL_COUNT = varint(event_pb2.EventsInfo.TOTAL_COUNT_FIELD_NUMBER << 3)


def encode_event_info(
    fields: Mapping[str, Any], *, raw_wire: bytes | None = None, additional_wire: bytes | None = None
) -> bytes:
    """A serialised EventInfo.

    Args:
        fields: by EventInfo's field names: str, list[str] for resources, dict for additional_info and raw_data,
            datetime or str for created_at and occurred_at. None, "" and names that EventInfo lacks are left out;
            `{}` is present and empty.
        raw_wire, additional_wire: raw_data and additional_info as serialised Structs, used in place of `fields`.

    Raises:
        InvalidArgument: the dynamic fields hold what `encode_struct` refuses, or a string a lone surrogate.
    """
    parts: list[bytes] = []
    for name, prefixes in _FIELDS:
        content: bytes | None = None
        if name in _STRUCTS:
            content = raw_wire if name == "raw_data" else additional_wire
            if content is None and fields.get(name) is not None:
                content = encode_struct(fields[name], path=name)
        else:
            value = fields.get(name)
            if not value:
                continue
            if name == "resources":
                for resource in value:
                    text = _text(resource, name)
                    parts += (prefixes[len(text)], text)
                continue
            content = _text(format_timestamp(value) if isinstance(value, datetime) else value, name)
        if content is not None:
            parts += (prefixes[len(content)], content)
    return b"".join(parts)


def encode_event(event: Event) -> bytes:
    """The serialised EventInfo of an event, without its alert_id, which may be known only later.

    The bytes of `encode_event_info`, for less: every event that is stored passes here.

    Raises:
        InvalidArgument: the event holds what cannot be put on the wire.
    """
    draft = event.draft
    info = encode_struct(draft.additional_info, path="additional_info")
    raw = draft.raw_wire if draft.raw_wire is not None else encode_struct(draft.raw_data, path="raw_data")
    try:
        texts = event_pb2.EventInfo(
            event_id=event.event_id,
            event_key=draft.event_key,
            event_type=draft.event_type,
            title=draft.title,
            description=draft.description,
            severity=draft.severity,
            rule=draft.rule,
            image_url=draft.image_url,
            resources=draft.resources,
            provider=draft.provider,
            account=draft.account,
        ).SerializeToString()
    except UnicodeEncodeError:
        texts = encode_event_info({name: getattr(draft, name) for name in _TEXTS})  # says which of them it is
    parts = [
        texts,
        *(_INFO[len(info)], info, _RAW[len(raw)], raw),
        _owner(event.domain_id, event.workspace_id, event.project_id, event.webhook_id),
        _created_at(event.created_at),
    ]
    if draft.occurred_at is not None:
        _add_texts(parts, _OCCURRED_AT, (format_timestamp(draft.occurred_at),))
    return b"".join(parts)


def _named(*names: str) -> _Fields:
    return tuple((name, _BY_NAME[name]) for name in names)


_TEXTS = ("event_key", "title", "description", "rule", "image_url", "resources", "provider", "account")
_OWNER = _named("domain_id", "workspace_id", "project_id", "webhook_id")
_CREATED_AT = _named("created_at")
_OCCURRED_AT = _named("occurred_at")
_INFO, _RAW = _BY_NAME["additional_info"], _BY_NAME["raw_data"]


def _add_texts(parts: list[bytes], fields: _Fields, values: Iterable[str]) -> None:
    for (name, prefixes), value in zip(fields, values, strict=True):
        if value:
            try:
                text = value.encode()
            except UnicodeEncodeError:
                raise RefusedValueError(NOT_UNICODE).at(name) from None
            parts += (prefixes[len(text)], text)


@lru_cache(1024)
def _owner(*values: str) -> bytes:
    """Domain, workspace, project and webhook: the same for all events of a webhook."""
    parts: list[bytes] = []
    _add_texts(parts, _OWNER, values)
    return b"".join(parts)


@lru_cache(64)
def _created_at(moment: datetime) -> bytes:
    """The same for all events of a batch."""
    parts: list[bytes] = []
    _add_texts(parts, _CREATED_AT, (format_timestamp(moment),))
    return b"".join(parts)


def append_alert_id(wire: bytes, alert_id: str) -> bytes:
    """The EventInfo with its alert_id set or replaced: of two values of a field the last counts. "" changes nothing."""
    if not alert_id:
        return wire
    text = alert_id.encode()
    return b"".join((wire, _ALERT_ID[len(text)], text))


def join_events_info(rows: Sequence[bytes], total_count: int) -> bytes:
    """The serialised EventsInfo of EventInfo rows; `total_count` stops at 2^31-1."""
    parts: list[bytes] = []
    for row in rows:
        parts += (_ROW[len(row)], row)
    if total_count > 0:
        parts += (_TOTAL_COUNT, varint(min(total_count, MAX_TOTAL_COUNT)))
    return b"".join(parts)


def check_size(wire: bytes, max_bytes: int, *, path: str = "data") -> None:
    """Refuses what is larger than an event may be: a payload's Struct, or a finished EventInfo.

    Raises:
        TooLarge: sending the same again does not help.
    """
    if len(wire) > max_bytes:
        limit = f"the limit of {max_bytes} bytes (EVENT_SERVICE_MAX_EVENT_BYTES)"
        raise TooLarge.at(path, f"an event of {len(wire)} bytes is over {limit}")


def _text(value: str, name: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise RefusedValueError(NOT_UNICODE).at(name) from None
