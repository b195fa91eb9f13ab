"""Encoded events: equal to protobuf's bytes, spliceable, and refused if they cannot be read back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument, TooLarge
from event_service.model.event import Event, EventDraft, EventType, Severity
from event_service.wire.event_info import (
    append_alert_id,
    check_size,
    encode_event,
    encode_event_info,
    join_events_info,
    remove_alert_id,
)
from event_service.wire.struct_encode import encode_struct
from tests.unit.wire.json_values import objects, texts
from tests.unit.wire.nesting import nested

STRINGS = [
    field.name
    for field in event_pb2.EventInfo.DESCRIPTOR.fields
    if field.name not in {"resources", "additional_info", "raw_data"}
]
DRAFT_TEXTS = ("event_key", "title", "description", "rule", "image_url", "provider", "account")
events = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(STRINGS, texts | st.none()),
        "resources": st.lists(texts, max_size=4),
        "additional_info": objects,
        "raw_data": objects,
    },
)


@given(events)
def test_bytes_are_protobufs_own(fields: dict[str, Any]) -> None:
    given_fields = {name: value for name, value in fields.items() if value is not None}
    expected = json_format.ParseDict(given_fields, event_pb2.EventInfo())
    assert event_pb2.EventInfo.FromString(encode_event_info(fields)) == expected


def test_fields_are_written_in_the_order_of_their_numbers() -> None:
    fields = {name: name for name in STRINGS} | {"resources": ["a", ""], "raw_data": {}, "additional_info": {}}
    message = json_format.ParseDict(fields, event_pb2.EventInfo())
    assert encode_event_info(dict(reversed(fields.items()))) == message.SerializeToString()


@given(st.fixed_dictionaries(dict.fromkeys(DRAFT_TEXTS, texts)), st.lists(texts, max_size=3), objects, st.booleans())
def test_events_are_written_as_their_fields(given: dict[str, str], resources: list[str], raw: Any, ready: bool) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
    draft = EventDraft(
        **given,  # type: ignore[arg-type]
        event_type=EventType.RECOVERY,
        severity=Severity.CRITICAL,
        resources=resources,
        additional_info=raw,
        raw_data=raw,
        raw_wire=encode_struct(raw) if ready else None,
        occurred_at=now if ready else None,
    )
    event = Event("event-1", draft, "domain", "", "project", "webhook", created_at=now)
    fields = {name: getattr(draft, name) for name in EventDraft.__dataclass_fields__}
    fields |= {name: getattr(event, name) for name in Event.__dataclass_fields__}
    assert encode_event(event) == encode_event_info(fields)


@pytest.mark.parametrize("field", ["event_key", "title", "account", "resources", "additional_info", "raw_data"])
def test_events_with_half_characters_are_refused_by_name(field: str) -> None:
    half: Any = {"resources": ["a", "\ud800"], "additional_info": {"x": "\ud800"}, "raw_data": {"x": "\ud800"}}
    draft = EventDraft(**{"event_key": "k", field: half.get(field, "\ud800")})
    with pytest.raises(InvalidArgument) as caught:
        encode_event(Event("event-1", draft, "domain", "", "project", "webhook", datetime(2026, 1, 1, tzinfo=UTC)))
    assert caught.value.violations[0].field.startswith(field)


def test_dates_empty_objects_and_ready_bytes() -> None:
    wire = encode_event_info(
        {"created_at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), "occurred_at": None, "raw_data": {}, "x": 1},
        additional_wire=encode_struct({"a": 1}),
    )
    event = event_pb2.EventInfo.FromString(wire)
    assert event.created_at == "2026-01-02T03:04:05.678Z"
    assert event.occurred_at == ""
    assert event.HasField("raw_data")
    assert dict(event.additional_info) == {"a": 1.0}
    assert not event_pb2.EventInfo.FromString(encode_event_info({})).HasField("raw_data")


@pytest.mark.parametrize("fields", [{"title": "\ud800"}, {"resources": ["\ud800"]}, {"raw_data": nested("o" * 34)}])
def test_unreadable_fields_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode_event_info(fields)
    assert caught.value.violations[0].field == next(iter(fields))


def test_an_alert_id_is_set_and_replaced() -> None:
    wire = encode_event_info({"event_id": "event-1", "raw_data": {"a": 1}})
    event = event_pb2.EventInfo.FromString(append_alert_id(append_alert_id(wire, "alert-1"), "alert-2"))
    assert (event.event_id, event.alert_id, dict(event.raw_data)) == ("event-1", "alert-2", {"a": 1.0})
    assert append_alert_id(wire, "") == wire


@given(st.lists(events, max_size=4), st.integers(-1, 2**40))
def test_rows_are_joined_as_protobuf_would(rows: list[dict[str, Any]], total: int) -> None:
    wires = [encode_event_info(row) for row in rows]
    reply = event_pb2.EventsInfo.FromString(join_events_info(wires, total))
    assert list(reply.results) == [event_pb2.EventInfo.FromString(wire) for wire in wires]
    assert reply.total_count == max(0, min(total, 2**31 - 1))


def test_large_rows_joined() -> None:
    wire = encode_event_info({"description": "x" * 3_000_000})
    reply = event_pb2.EventsInfo.FromString(join_events_info([wire, wire], 2))
    assert [len(event.description) for event in reply.results] == [3_000_000, 3_000_000]


def test_thirty_two_objects_around_two_lists_are_refused() -> None:
    payload = nested("o" * 32 + "ll")
    request = json_format.ParseDict({"data": payload}, event_pb2.CreateEventRequest())
    event_pb2.CreateEventRequest.FromString(request.SerializeToString())  # as a request it parses
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        encode_struct(payload)


def test_too_large_is_not_retryable() -> None:
    with pytest.raises(TooLarge) as caught:
        check_size(b"x" * 101, 100)
    assert caught.value.retry_after is None
    assert [violation.field for violation in caught.value.violations] == ["data"]
    check_size(b"x" * 100, 100)


@pytest.mark.parametrize("moved", [False, True])
def test_alert_id_is_removed(moved: bool) -> None:
    info = event_pb2.EventInfo(event_id="event-1", title="t", raw_data={"b": 1, "a": 2})
    wire = info.SerializeToString()
    with_id = event_pb2.EventInfo(alert_id="alert-1").SerializeToString() + wire
    stripped = remove_alert_id(with_id if moved else append_alert_id(wire, "alert-1"), "alert-1")
    assert event_pb2.EventInfo.FromString(stripped) == info
    assert moved or stripped == wire
