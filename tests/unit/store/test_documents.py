"""Documents of events, and round trips of every payload."""

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import ObjectId
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.model.condition import AlertReference
from event_service.model.event import Event, EventDraft, EventType, Severity
from event_service.store.documents import (
    WIRE,
    document_wire,
    escape_key,
    escape_keys,
    event_document,
    unescape_key,
    unescape_keys,
)
from event_service.wire.event_info import encode_event

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
OBJECT_ID = ObjectId("650000000000000000000000")


def make_event(**changes: Any) -> Event:
    draft = EventDraft(event_key="disk-full", raw_data={"event_key": "disk-full"}, **changes)
    return Event("event-0123456789ab", draft, "domain-1", "workspace-1", "project-1", "webhook-1", RECEIVED)


def read(wire: bytes) -> dict[str, Any]:
    info = event_pb2.EventInfo.FromString(wire)
    return json_format.MessageToDict(info, preserving_proto_field_name=True)


def test_document_has_upstreams_fields_and_api_defaults() -> None:
    document = event_document(make_event(), OBJECT_ID)
    wire = document.pop(WIRE)
    assert document == {
        "_id": OBJECT_ID,
        "event_id": "event-0123456789ab",
        "event_key": "disk-full",
        "event_type": "ALERT",
        "title": "",
        "description": "",
        "severity": "NONE",
        "rule": "",
        "image_url": "",
        "resources": [],
        "provider": "",
        "account": "",
        "raw_data": {"event_key": "disk-full"},
        "additional_info": {},
        "alert": None,
        "alert_id": None,
        "webhook_id": "webhook-1",
        "project_id": "project-1",
        "workspace_id": "workspace-1",
        "domain_id": "domain-1",
        "created_at": RECEIVED,
        "occurred_at": None,
    }
    assert read(wire) == {
        "event_id": "event-0123456789ab",
        "event_key": "disk-full",
        "event_type": "ALERT",
        "severity": "NONE",
        "raw_data": {"event_key": "disk-full"},
        "additional_info": {},
        "webhook_id": "webhook-1",
        "project_id": "project-1",
        "workspace_id": "workspace-1",
        "domain_id": "domain-1",
        "created_at": "2026-01-02T03:04:05.678Z",
    }


def test_alert_is_in_the_document_and_in_the_reply() -> None:
    alert = AlertReference("660000000000000000000001", "alert-0123456789ab")
    event = make_event(event_type=EventType.ERROR, severity=Severity.CRITICAL)
    document = event_document(event, OBJECT_ID, alert, encode_event(event))
    assert document["alert"] == ObjectId("660000000000000000000001")
    assert document["alert_id"] == "alert-0123456789ab"
    assert read(document_wire(document))["alert_id"] == "alert-0123456789ab"


def test_document_round_trips_through_bson() -> None:
    event = make_event(occurred_at=RECEIVED, resources=["a", "b"], title="제목 😀")
    stored = bson.decode(bson.encode(event_document(event, OBJECT_ID)))
    assert type(stored["event_type"]) is str
    assert read(document_wire(stored))["title"] == "제목 😀"


def test_upstream_document_is_encoded_from_its_fields() -> None:
    document = {
        "_id": OBJECT_ID,
        "event_id": "event-1",
        "title": None,
        "account": 123456789012,
        "severity": "INFO",
        "resources": ["srv-1"],
        "raw_data": {"dot.key": 1.0, "$odd": None, "at": RECEIVED},
        "additional_info": None,
        "created_at": RECEIVED,
        "occurred_at": None,
    }
    assert read(document_wire(document)) == {
        "event_id": "event-1",
        "severity": "INFO",
        "account": "123456789012",
        "resources": ["srv-1"],
        "raw_data": {"dot.key": 1.0, "$odd": None, "at": "2026-01-02T03:04:05.678Z"},
        "additional_info": {},
        "created_at": "2026-01-02T03:04:05.678Z",
    }


def test_empty_document_has_empty_dynamic_fields() -> None:
    assert read(document_wire({})) == {"additional_info": {}, "raw_data": {}}


@pytest.mark.parametrize("key", ["a", "a$b", "_id", "한글", "a␛", "a$"])
def test_ordinary_keys_are_not_escaped(key: str) -> None:
    assert escape_key(key) == key
    payload = {key: {key: [1, {key: None}]}}
    assert escape_keys(payload) is payload
    assert unescape_keys(payload) is payload


@pytest.mark.parametrize(
    "key", ["", "$", "$set", "$$", "a\0b", "\0", "␛", "␛␛0", "$a\0␛", "␛$", "$\n", "a.b", ".", "␛1.", ".␛"]
)
def test_escaped_keys_round_trip(key: str) -> None:
    stored = escape_key(key)
    assert stored not in ("", key)
    assert not stored.startswith("$")
    assert "\0" not in stored
    assert unescape_key(stored) == key
    payload = {"list": [{"deep": {key: 1, "plain": 2}}], key: "top"}
    escaped = escape_keys(payload)
    assert escaped == {"list": [{"deep": {stored: 1, "plain": 2}}], stored: "top"}
    assert list(escaped) == ["list", stored]
    assert unescape_keys(escaped) == payload
    assert payload["list"] == [{"deep": {key: 1, "plain": 2}}], "the payload itself is left alone"


def test_numbers_are_stored_as_in_the_reply() -> None:
    stored = escape_keys({"big": 2**53 + 1, "huge": 10**30, "exact": 2**53, "list": [-(2**63) - 1], "yes": True})
    assert stored == {"big": 2.0**53, "huge": 1e30, "exact": 2**53, "list": [-(2.0**63)], "yes": True}
    assert type(stored["exact"]) is int
    assert stored["yes"] is True
    bson.encode(stored)


keys = st.text(max_size=6) | st.text(alphabet="$\0␛01a.\n", max_size=6)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(keys, below, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(keys, json_values, max_size=6))
def test_every_payload_round_trips(payload: dict[str, Any]) -> None:
    stored = bson.decode(bson.encode({"raw_data": escape_keys(payload)}))["raw_data"]
    assert unescape_keys(stored) == payload
    assert list(unescape_keys(stored)) == list(payload)


@given(st.lists(keys, unique=True))
def test_escaping_is_injective(names: list[str]) -> None:
    assert len({escape_key(name) for name in names}) == len(names)
