"""Encode AlertInfo of spaceone.api.monitoring.v1."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from event_service._gen.spaceone.api.monitoring.v1 import alert_pb2
from event_service.wire.struct_encode import encode_stored_struct
from event_service.wire.timestamps import format_timestamp

_FIELDS = alert_pb2.AlertInfo.DESCRIPTOR.fields_by_name
_ENUMS: Mapping[str, Mapping[str, int]] = {
    "state": dict(alert_pb2.AlertState.items()),
    "urgency": dict(alert_pb2.AlertUrgency.items()),
}
_INT32_MAX = 2**31 - 1


def alert_info(fields: Mapping[str, Any]) -> alert_pb2.AlertInfo:
    """Return an AlertInfo message of its fields. Those that are missing or None stay unset.

    Args:
        fields: by AlertInfo's names: str, int, datetime, dict for additional_info, fields of AlertResource for
            resources; `state` and `urgency` by the names of their enums. Unknown names are left out.
    """
    info = alert_pb2.AlertInfo()
    for name, value in fields.items():
        if value is None or name not in _FIELDS:
            continue
        if name in _ENUMS:
            setattr(info, name, _ENUMS[name].get(value, 0))
        elif name == "resources":
            for resource in value:
                info.resources.add(**resource)
        elif name == "additional_info":
            info.additional_info.SetInParent()
            info.additional_info.MergeFromString(encode_stored_struct(value))
        elif isinstance(value, datetime):
            setattr(info, name, format_timestamp(value))
        elif isinstance(value, int):
            setattr(info, name, min(max(value, 0), _INT32_MAX))
        else:
            setattr(info, name, value)
    return info


def encode_alerts_info(rows: Sequence[Mapping[str, Any]], total_count: int) -> bytes:
    """Return the serialised AlertsInfo; total_count is capped at 2^31-1."""
    return alert_pb2.AlertsInfo(
        results=map(alert_info, rows), total_count=min(total_count, _INT32_MAX)
    ).SerializeToString()
