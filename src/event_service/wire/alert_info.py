"""Encode AlertInfo and AlertsInfo of spaceone.api.monitoring.v1.

The bytes are joined here: protobuf's messages take four times as long, and lists are read by every open console.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from event_service._gen.spaceone.api.monitoring.v1 import alert_pb2
from event_service.wire.struct_encode import encode_stored_struct
from event_service.wire.timestamps import format_timestamp
from event_service.wire.varint import Prefixes, varint

_INT32_MAX = 2**31 - 1
_FIELDS = alert_pb2.AlertInfo.DESCRIPTOR.fields
_PREFIXES = {field.name: Prefixes(field.number << 3 | 2) for field in _FIELDS}
_NUMBER_TAGS = {field.name: varint(field.number << 3) for field in _FIELDS if field.type == FieldDescriptor.TYPE_INT32}
_ENUMS = {
    field.name: {value.name: varint(field.number << 3) + varint(value.number) for value in field.enum_type.values}
    for field in _FIELDS
    if field.enum_type is not None
}
_DATES = frozenset({"created_at", "updated_at", "acknowledged_at", "resolved_at", "escalated_at"})
_ROW = Prefixes(alert_pb2.AlertsInfo.RESULTS_FIELD_NUMBER << 3 | 2)
_TOTAL_COUNT = varint(alert_pb2.AlertsInfo.TOTAL_COUNT_FIELD_NUMBER << 3)

_timestamp = lru_cache(1024)(format_timestamp)


def encode_alert_info(fields: Mapping[str, Any]) -> bytes:
    """Return a serialised AlertInfo.

    Args:
        fields: by AlertInfo's names, no others: str, int, datetime, dict for additional_info, fields of AlertResource
            for resources; `state` and `urgency` by the names of their enums. None, "" and 0 are left out.
    """
    parts: list[bytes] = []
    for name, value in fields.items():
        if name in _ENUMS:
            parts.append(_ENUMS[name].get(value, b""))
        elif name in _NUMBER_TAGS:
            if value:
                parts += (_NUMBER_TAGS[name], varint(min(max(value, 0), _INT32_MAX)))
        elif name == "resources":
            for resource in value:
                content = alert_pb2.AlertResource(**resource).SerializeToString()
                parts += (_PREFIXES[name][len(content)], content)
        elif name == "additional_info":
            if value is not None:
                content = encode_stored_struct(value)
                parts += (_PREFIXES[name][len(content)], content)
        elif value:
            content = (_timestamp(value) if name in _DATES else value).encode()
            parts += (_PREFIXES[name][len(content)], content)
    return b"".join(parts)


def encode_alerts_info(rows: Sequence[Mapping[str, Any]], total_count: int) -> bytes:
    """Return the serialised AlertsInfo; total_count is capped at 2^31-1."""
    parts: list[bytes] = []
    for row in rows:
        wire = encode_alert_info(row)
        parts += (_ROW[len(wire)], wire)
    if total_count > 0:
        parts += (_TOTAL_COUNT, varint(min(total_count, _INT32_MAX)))
    return b"".join(parts)
