"""Documents of every kind of payload round-trip through the database."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from event_service.model.condition import AlertReference
from event_service.model.event import Event, EventDraft
from event_service.store.client import Database
from event_service.store.documents import document_wire, event_document, unescape_keys
from event_service.wire.event_info import encode_event

RECEIVED = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
ALERT = AlertReference("660000000000000000000001", "alert-0123456789ab")


@pytest.mark.parametrize(
    "payload",
    [
        {"event_key": "k", "extra": {"$set": 1, "a.b": 2, "": 3, "_id": 4, "_cls": 5, "a\0b": 6, "한글": 7}},
        {"$ref": "event", "$id": "x", "$db": "admin"},
        {"list": [{"$oid": "650000000000000000000000"}, [], {}, None, True, -0.0, 1e300, 2**53]},
        {"text": "줄\n바꿈 \0 😀", "␛": "␛", "␛␛": ""},
    ],
)
def test_payload_round_trips(database: Database, payload: dict[str, Any]) -> None:
    draft = EventDraft("key", raw_data=payload, additional_info=payload, occurred_at=RECEIVED)
    event = Event("event-0123456789ab", draft, "domain", "workspace", "project", "webhook", RECEIVED)
    object_id = ObjectId()
    database["event"].insert_one(event_document(event, object_id, ALERT, encode_event(event)))
    document = database["event"].find_one({"_id": object_id})
    assert document is not None
    assert unescape_keys(document["raw_data"]) == payload
    assert unescape_keys(document["additional_info"]) == payload
    assert list(document["raw_data"]) == list(event_document(event, object_id)["raw_data"])
    assert document["created_at"] == document["occurred_at"] == RECEIVED
    assert document["created_at"].utcoffset() is not None
    wire = document_wire(document)
    assert type(wire) is bytes
    assert wire == event_document(event, object_id, ALERT)["wire"]


def test_projected_wire_suffices(database: Database) -> None:
    event = Event("event-1", EventDraft("key"), "domain", "workspace", "project", "webhook", RECEIVED)
    database["event"].insert_one(event_document(event, ObjectId()))
    document = database["event"].find_one({"event_id": "event-1"}, {"_id": False, "wire": True})
    assert document is not None
    assert list(document) == ["wire"]
    assert document_wire(document) == encode_event(event)
