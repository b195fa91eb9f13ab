"""The native format: an event with the field names of EventInfo, or several in `{"results": [...]}`.

Source: docs/collectors.md; upstream's api-direct payload.
"""

from datetime import UTC, datetime, tzinfo
from typing import Any

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.fields import clipped, trimmed
from event_service.normalize.options import read_zone
from event_service.normalize.result import BadItem, Fault, Headers, Json, Options, Parsed, ParseError, raw_object
from event_service.normalize.severities import State, named_state
from event_service.normalize.splitting import check_split, split
from event_service.wire.timestamps import parse_timestamp

ACKNOWLEDGED = "acknowledge"

_TYPES = {name.value: name for name in EventType}
_SEVERITIES = {name.value: name for name in Severity}
_FIELDS = frozenset(EventDraft.__dataclass_fields__) | {"resource", "results"}


def detect(payload: Json, _headers: Headers) -> bool:
    if not isinstance(payload, dict):
        return False
    if "event_key" in payload:
        return True
    results = payload.get("results")
    return isinstance(results, list) and (
        not results or any(isinstance(one, dict) and "event_key" in one for one in results)
    )


def parse(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return the events of one object, of a batch, or of a bare list, which only HTTP can carry.

    Invalid values are faults with their paths; nothing is guessed.

    Args:
        options: `timezone` is the zone of times without an offset; the default is UTC.
    """
    parsed = Parsed()
    zone = (read_zone(options.get("timezone")) if options else None) or UTC
    if isinstance(payload, list):
        check_split(len(payload), 1, "")
        for index, member in enumerate(payload):
            parsed.add(raw_object(member), read_event, member, f"[{index}]", zone)
        return parsed
    item = _trimmed_keys(payload) if isinstance(payload, dict) else {}
    results = item.get("results")
    if results is None or "event_key" in item:
        parsed.add(raw_object(payload), read_event, payload, "", zone)
    elif not isinstance(results, list):
        parsed.bad_items.append(BadItem([Fault("results", "must be a list of events")], payload))
    else:
        name = "results" if "results" in payload else next(key for key in payload if key.strip() == "results")
        for index, (member, raw_data) in enumerate(zip(results, split(payload, name, results), strict=True)):
            parsed.add(raw_data, read_event, member, f"results[{index}]", zone)
    return parsed


def read_event(member: Json, path: str, zone: tzinfo = UTC) -> EventDraft | str:
    """Return one event of the native format, or the reason to ignore it: an acknowledgement.

    Args:
        path: of the member in the payload, "" for the payload itself.
        zone: of times without an offset.

    Raises:
        ParseError: lists every fault of the member.
    """
    if not isinstance(member, dict):
        raise ParseError.at(path, "must be a JSON object")
    item = _trimmed_keys(member)
    faults: list[Fault] = []
    prefix = f"{path}." if path else ""

    def string(name: str) -> str:
        value = item.get(name)
        if type(value) is str:
            return value.strip()
        if value is not None:
            faults.append(Fault(prefix + name, f"must be a string, not {clipped(value)}"))
        return ""

    event_key = string("event_key")
    if not event_key and not faults:  # a wrong type is reported already
        faults.append(Fault(prefix + "event_key", "must be given and must not be empty"))

    event_type = _read_type(item, prefix, faults)
    if event_type is None:
        return ACKNOWLEDGED

    severity = Severity.NONE
    value = item.get("severity")
    if value is not None:
        known_severity = _SEVERITIES.get(value.strip().upper()) if type(value) is str else None
        if known_severity is None:
            faults.append(Fault(prefix + "severity", f"must be one of {', '.join(_SEVERITIES)}, not {clipped(value)}"))
        else:
            severity = known_severity

    occurred_at = None
    value = item.get("occurred_at")
    if value is not None:
        occurred_at = _read_time(value, zone, prefix + "occurred_at", faults)

    draft = EventDraft(
        event_key=event_key,
        event_type=event_type,
        title=string("title"),
        description=string("description"),
        severity=severity,
        rule=string("rule"),
        image_url=string("image_url"),
        resources=_read_resources(item.get("resources"), item.get("resource"), prefix, faults),
        provider=string("provider"),
        account=string("account"),
        additional_info=_read_info(item.get("additional_info"), prefix, faults),
        occurred_at=occurred_at,
    )
    if faults:
        raise ParseError(faults)
    return draft


def _read_type(item: dict[str, Any], prefix: str, faults: list[Fault]) -> EventType | None:
    """Return the type by `event_type`, else by `status`; None for an acknowledgement.

    `status` is no field of the format, but tools send it. Ignoring it would make an alert of every `up`.
    """
    value = item.get("event_type")
    if value is not None:
        known_type = _TYPES.get(value.strip().upper()) if type(value) is str else None
        if known_type is None:
            faults.append(Fault(prefix + "event_type", f"must be one of {', '.join(_TYPES)}, not {clipped(value)}"))
        return known_type or EventType.ALERT
    status = item.get("status")
    if status is None:
        return EventType.ALERT
    state = named_state(status)
    if state is None:
        problem = f"must be a state such as firing or resolved, not {clipped(status)}; or give event_type"
        faults.append(Fault(prefix + "status", problem))
        return EventType.ALERT
    return None if state is State.ACKNOWLEDGED else state.event_type


def _trimmed_keys(item: dict[str, Any]) -> dict[str, Any]:
    """Return the object by trimmed names. On a collision the name that needed no trimming wins."""
    if item.keys() <= _FIELDS:  # the usual case, without a loop
        return item
    for name in item:
        if name.strip() != name:
            return {name.strip(): value for name, value in item.items()} | {
                name: value for name, value in item.items() if name.strip() == name
            }
    return item


def _read_time(value: Json, zone: tzinfo, path: str, faults: list[Fault]) -> datetime | None:
    if type(value) is not str:
        faults.append(Fault(path, f"must be an ISO 8601 string, not {clipped(value)}"))
        return None
    written = value.strip()
    if not written:
        return None
    try:
        return parse_timestamp(written, zone)
    except ValueError:
        faults.append(Fault(path, f"must be an ISO 8601 time such as 2024-05-01T12:00:00.000Z, not {clipped(value)}"))
        return None


def _read_resources(resources: Json, resource: Json, prefix: str, faults: list[Fault]) -> list[str]:
    read: list[str] = []
    if isinstance(resources, list):
        for index, value in enumerate(resources):
            if type(value) is str:
                if name := value.strip():
                    read.append(name)
            elif value is not None:
                faults.append(Fault(f"{prefix}resources[{index}]", f"must be a string, not {clipped(value)}"))
    elif resources is not None:
        faults.append(Fault(f"{prefix}resources", f"must be a list of strings, not {clipped(resources)}"))
    if resource is None:
        return read
    if not isinstance(resource, dict):
        faults.append(Fault(f"{prefix}resource", f"must be an object, not {clipped(resource)}"))
        return read
    value = resource["name"] if "name" in resource else _trimmed_keys(resource).get("name")
    if type(value) is str:
        if (name := value.strip()) and name not in read:
            read.append(name)
    elif value is not None:
        faults.append(Fault(f"{prefix}resource.name", f"must be a string, not {clipped(value)}"))
    return read


def _read_info(value: Json, prefix: str, faults: list[Fault]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        faults.append(Fault(f"{prefix}additional_info", f"must be an object, not {clipped(value)}"))
        return {}
    info: dict[str, Any] = trimmed(value)
    return info
