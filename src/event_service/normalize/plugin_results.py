"""Parse the answers of remote plugins by the rules of the native format.

Every generation of plugins is supported: with `resource` only, with provider and account, with `resources`. A field at
its default is not on the wire: severity NONE and an empty event_type are absent.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.message import DecodeError

from event_service._gen.spaceone.api.monitoring.plugin import event_pb2
from event_service.errors import InvalidArgument
from event_service.model.event import EventDraft
from event_service.normalize.native import read_event
from event_service.normalize.result import MOST_EVENTS, MOST_FIELDS, Fault, Parsed, ParseError
from event_service.normalize.splitting import split
from event_service.normalize.timestamps import moment
from event_service.wire.scan import TooManyFields, check_fields, split_field
from event_service.wire.struct_decode import struct_to_dict

_SEVERITIES = dict(zip(event_pb2.EventInfo.Severity.values(), event_pb2.EventInfo.Severity.keys(), strict=True))
_TEXTS = ("event_key", "event_type", "title", "description", "rule", "image_url", "provider", "account")

_MOST_OTHER_FIELDS = 100  # of an answer, beside its results

# Old cores replace the offset of a time by Z; a time in the future is then wrong.
_CLOCK_TOLERANCE = timedelta(minutes=5)
_EARLIEST_YEAR = 2000


def read_results(answer: bytes, payload: Mapping[str, Any], received_at: datetime) -> Parsed:
    """Return the events of an answer.

    Args:
        answer: serialised spaceone.api.monitoring.plugin.EventsInfo.
        payload: sent to the plugin; the raw_data of its events. If it has exactly one list as long as the answer,
            each event keeps only its own member.

    Raises:
        ParseError: not an EventsInfo, too many events or fields, or a payload too large to split.
    """
    results = _results_of(answer)
    parsed = Parsed()
    for index, (result, raw_data) in enumerate(zip(results, _raw_data_of(payload, len(results)), strict=True)):
        path = f"plugin.results[{index}]"
        parsed.add(raw_data, _read, result, path, received_at)
    return parsed


def _results_of(answer: bytes) -> list[event_pb2.EventInfo]:
    try:
        rest, members = split_field(answer, event_pb2.EventsInfo.RESULTS_FIELD_NUMBER, MOST_EVENTS + _MOST_OTHER_FIELDS)
    except TooManyFields:
        raise _too_many(f"{MOST_EVENTS} events") from None
    except ValueError:
        raise _malformed() from None
    if len(members) > MOST_EVENTS:
        raise _too_many(f"{MOST_EVENTS} events")
    try:
        check_fields(answer, event_pb2.EventsInfo, MOST_FIELDS)
    except TooManyFields:
        raise _too_many(f"{MOST_FIELDS} fields") from None
    try:
        event_pb2.EventsInfo.FromString(rest)
        # One after another, because protobuf holds the GIL for a whole message.
        return [event_pb2.EventInfo.FromString(member) for member in members]  # type: ignore[arg-type]  # any buffer
    except DecodeError:
        raise _malformed() from None


def _too_many(limit: str) -> ParseError:
    return ParseError.at("plugin", f"the answer holds more than {limit}", "too-many")


def _malformed() -> ParseError:
    return ParseError.at("plugin", "the answer is not an EventsInfo", "malformed")


def _read(result: event_pb2.EventInfo, path: str, received_at: datetime) -> EventDraft | str:
    return read_event(_as_member(result, path, received_at), path)


def _as_member(result: event_pb2.EventInfo, path: str, received_at: datetime) -> dict[str, Any]:
    """Return the result in the native format, without the fields that are absent on the wire."""
    member: dict[str, Any] = {name: value for name in _TEXTS if (value := getattr(result, name))}
    if result.severity not in _SEVERITIES:
        raise ParseError([Fault(f"{path}.severity", f"unknown number {result.severity}")])
    member["severity"] = _SEVERITIES[result.severity]
    member["resources"] = list(result.resources)
    try:
        for name in ("resource", "additional_info"):
            if result.HasField(name):
                member[name] = struct_to_dict(getattr(result, name), path=f"{path}.{name}")
    except InvalidArgument as error:
        raise ParseError([Fault(violation.field, violation.description) for violation in error.violations]) from error
    if _is_sane(result.occurred_at, received_at):
        member["occurred_at"] = result.occurred_at
    return member


def _is_sane(written: str, received_at: datetime) -> bool:
    occurred_at = moment(written) if written.strip().endswith("Z") else None
    return occurred_at is not None and (
        occurred_at.year >= _EARLIEST_YEAR and occurred_at <= received_at + _CLOCK_TOLERANCE
    )


def _raw_data_of(payload: Mapping[str, Any], count: int) -> Sequence[Mapping[str, Any]]:
    if count > 1:
        lists = [name for name, value in payload.items() if isinstance(value, list) and len(value) == count]
        if len(lists) == 1:
            return split(payload, lists[0], payload[lists[0]])
    # No list matches: which part belongs to which event is unknown.
    return [payload] * count
