"""Encode EventInfo and EventsInfo of spaceone.api.monitoring.v1.

A stored event keeps its EventInfo bytes and a reply splices them: an event is encoded once, when it is stored, not at
each read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import TooLarge
from event_service.model.event import Event
from event_service.wire.errors import NOT_UNICODE, RefusedValueError
from event_service.wire.struct_encode import encode_struct
from event_service.wire.timestamps import format_timestamp
from event_service.wire.varint import Prefixes, varint

MAX_TOTAL_COUNT = 2**31 - 1
"""total_count is an int32; larger counts are capped."""

# In the order of field numbers, as protobuf serialises.
_PREFIXES = {field.name: Prefixes(field.number << 3 | 2) for field in event_pb2.EventInfo.DESCRIPTOR.fields}
_ROW = Prefixes(event_pb2.EventsInfo.RESULTS_FIELD_NUMBER << 3 | 2)
_TOTAL_COUNT = varint(event_pb2.EventsInfo.TOTAL_COUNT_FIELD_NUMBER << 3)


def encode_event_info(
    fields: Mapping[str, Any], *, raw_wire: bytes | None = None, additional_wire: bytes | None = None
) -> bytes:
    """Return a serialised EventInfo.

    Args:
        fields: by EventInfo's field names: str, list[str] for resources, dict for additional_info and raw_data,
            datetime or str for created_at and occurred_at. None, "" and names that EventInfo lacks are left out;
            `{}` is present and empty.
        raw_wire, additional_wire: raw_data and additional_info as serialised Structs, used in place of `fields`.

    Raises:
        InvalidArgument: the dynamic fields hold what `encode_struct` refuses, or a string a lone surrogate.
    """
    ready = {"raw_data": raw_wire, "additional_info": additional_wire}
    parts: list[bytes] = []
    for name, prefixes in _PREFIXES.items():
        value = fields.get(name)
        try:
            if name in ready:
                content = ready[name]
                if content is None and value is not None:
                    content = encode_struct(value, path=name)
                if content is None:
                    continue
            elif not value:
                continue
            elif name == "resources":
                for resource in value:
                    content = resource.encode()
                    parts += (prefixes[len(content)], content)
                continue
            else:
                content = (_timestamp(value) if isinstance(value, datetime) else value).encode()
        except UnicodeEncodeError:
            raise RefusedValueError(NOT_UNICODE).at(name) from None
        parts += (prefixes[len(content)], content)
    return b"".join(parts)


def encode_event(event: Event) -> bytes:
    """Return the serialised EventInfo of an event, without its alert_id, which may be known only later.

    Raises:
        InvalidArgument: a value of the event cannot be encoded.
    """
    draft = event.draft
    fields = {
        "event_id": event.event_id,
        "event_key": draft.event_key,
        "event_type": draft.event_type,
        "title": draft.title,
        "description": draft.description,
        "severity": draft.severity,
        "rule": draft.rule,
        "image_url": draft.image_url,
        "resources": draft.resources,
        "provider": draft.provider,
        "account": draft.account,
        "additional_info": draft.additional_info,
        "raw_data": draft.raw_data,
        "domain_id": event.domain_id,
        "workspace_id": event.workspace_id,
        "project_id": event.project_id,
        "webhook_id": event.webhook_id,
        "created_at": event.created_at,
        "occurred_at": draft.occurred_at,
    }
    return encode_event_info(fields, raw_wire=draft.raw_wire)


# All events of a batch have the same created_at.
_timestamp = lru_cache(64)(format_timestamp)


def append_alert_id(wire: bytes, alert_id: str) -> bytes:
    """Return the EventInfo with its alert_id set or replaced: of repeated scalars protobuf takes the last."""
    if not alert_id:
        return wire
    text = alert_id.encode()
    return b"".join((wire, _PREFIXES["alert_id"][len(text)], text))


def remove_alert_id(wire: bytes, alert_id: str) -> bytes:
    """Return the EventInfo without its alert_id, all other fields unchanged."""
    appended = append_alert_id(b"", alert_id)
    if wire.endswith(appended):
        return wire[: -len(appended)]
    info = event_pb2.EventInfo.FromString(wire)
    info.ClearField("alert_id")
    return info.SerializeToString()


def join_events_info(rows: Sequence[bytes], total_count: int) -> bytes:
    """Return the serialised EventsInfo of EventInfo rows; `total_count` is capped at 2^31-1."""
    parts: list[bytes] = []
    for row in rows:
        parts += (_ROW[len(row)], row)
    if total_count > 0:
        parts += (_TOTAL_COUNT, varint(min(total_count, MAX_TOTAL_COUNT)))
    return b"".join(parts)


def check_size(wire: bytes, max_bytes: int, *, path: str = "data") -> None:
    """Check the size of a payload's Struct or of a finished EventInfo.

    Raises:
        TooLarge: over the limit. Retrying does not help.
    """
    if len(wire) > max_bytes:
        limit = f"the limit of {max_bytes} bytes (EVENT_SERVICE_MAX_EVENT_BYTES)"
        raise TooLarge.at(path, f"an event of {len(wire)} bytes is over {limit}")
