"""Migration of an upstream database hashes keys and encodes replies, and changes nothing else."""

from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.model.scope import Scope
from event_service.model.webhook import access_key_hash
from event_service.query.fields import EVENT_FIELDS
from event_service.query.stat_query import parse_stat_query
from event_service.store.client import Database
from event_service.store.documents import WIRE
from event_service.store.event_reader import EventReader
from event_service.store.maintenance import migration
from event_service.store.maintenance.migration import Backlog, Migrated, backlog, migrate

NOW = datetime(2024, 2, 29, 23, 59, 59, 999_000, UTC)
SCOPE = Scope("d-1", "ws-1")


def upstream_event(number: int, **changes: Any) -> dict[str, Any]:
    """Return an event as upstream stores it."""
    return {
        "_id": ObjectId(f"{number:024x}"),
        "event_id": f"event-{number:012x}",
        "event_key": f"key-{number}",
        "event_type": "ALERT",
        "title": f"title {number}",
        "description": None,
        "severity": "INFO",
        "rule": "",
        "image_url": None,
        "resources": ["web-1", "서버"],
        "provider": "aws",
        "account": "",
        "raw_data": {"n": 2.0, "빈 키": {"deep": [1.0, None, {"y": True}]}},
        "additional_info": {"tags": []},
        "alert": ObjectId(),
        "alert_id": f"alert-{number:012x}",
        "webhook_id": "webhook-1",
        "project_id": "project-1",
        "workspace_id": "ws-1",
        "domain_id": "d-1",
        "created_at": NOW,
        "occurred_at": None,
        **changes,
    }


def upstream_webhook(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "webhook_id": f"webhook-{number}",
        "name": "hook",
        "access_key": f"clear-{number}",
        "webhook_url": f"/monitoring/v1/webhook/webhook-{number}/clear-{number}/events",
        "domain_id": "d-1",
        "workspace_id": "ws-1",
        "project_id": "project-1",
        **changes,
    }


def replies(database: Database, count: int) -> list[event_pb2.EventInfo]:
    found = EventReader(database["event"]).get_many(SCOPE, [f"event-{number:012x}" for number in range(count)])
    return [event_pb2.EventInfo.FromString(wire) for wire in found if wire is not None]


def test_keys_are_hashed_and_replies_encoded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "BATCH_DOCUMENTS", 100)
    database["event"].insert_many([upstream_event(number) for number in range(243)])
    database["webhook"].insert_many([upstream_webhook(number) for number in range(3)])
    before = replies(database, 243)
    assert backlog(database) == Backlog(clear_keys=3, events=243)
    progress_calls: list[int] = []
    assert migrate(database, 5000, progress_calls.append) == Migrated(keys=3, events=243, left=0)
    assert progress_calls == [100, 200, 243]
    assert backlog(database) == Backlog(0, 0)
    assert replies(database, 243) == before
    assert len(before) == 243
    documents = list(database["event"].find().sort("_id"))
    assert all(len(document[WIRE]) > 100 for document in documents)
    written = database["event"].find_one({"event_id": "event-000000000007"}, {WIRE: False})
    assert written is not None
    assert written == upstream_event(7, alert=written["alert"])
    for number, webhook in enumerate(database["webhook"].find().sort("webhook_id")):
        assert "clear" not in repr(webhook)
        assert webhook["access_key_hashes"] == [access_key_hash(f"clear-{number}")]


def test_migrated_payloads_are_equal_in_any_order_of_keys(database: Database) -> None:
    values = [{"b": 1.0, "a": {"$d": 1.0, "c": 2.0}}, {"a": {"c": 2.0, "$d": 1.0}, "b": 1.0}]
    database["event"].insert_many(
        [upstream_event(number, raw_data={"o": value}) for number, value in enumerate(values)]
    )
    before = replies(database, 2)
    assert migrate(database, 5000) == Migrated(0, 2, 0)
    assert replies(database, 2) == before
    query = parse_stat_query({"distinct": "raw_data.o"}, EVENT_FIELDS)
    assert EventReader(database["event"]).stat(SCOPE, query) == {"results": [values[1]]}


def test_migration_is_idempotent(database: Database) -> None:
    assert migrate(database, 5000) == Migrated(0, 0, 0)
    database["event"].insert_one(upstream_event(1))
    assert migrate(database, 5000) == Migrated(0, 1, 0)
    assert migrate(database, 5000) == Migrated(0, 0, 0)


def test_existing_reply_stays(database: Database) -> None:
    database["event"].insert_one(upstream_event(1, wire=b"\x0a\x01x"))
    assert migrate(database, 5000) == Migrated(0, 0, 0)
    (document,) = database["event"].find()
    assert document[WIRE] == b"\x0a\x01x"


def test_events_that_cannot_be_encoded_are_left(database: Database) -> None:
    nearly_full = {"x": "y" * (9 * 1024 * 1024)}
    odd = [
        upstream_event(0, raw_data=None, additional_info=None, resources=None, created_at=None),
        {"_id": ObjectId(f"{1:024x}"), "event_id": "event-000000000001", "domain_id": "d-1", "workspace_id": "ws-1"},
        upstream_event(2, raw_data=nearly_full),  # twice that is more than a document may hold
        upstream_event(3, _id="text", title=5, resources=[1, None]),
    ]
    for document in odd:
        database["event"].insert_one(document)
    database["webhook"].insert_one({"webhook_id": "webhook-9", "webhook_url": "/x"})
    before = replies(database, 4)
    done = migrate(database, 5000)
    assert (done.keys, done.events + done.left) == (1, 4)
    assert done.left <= 1  # mongomock holds documents of any size
    assert backlog(database) == Backlog(0, done.left)
    assert replies(database, 4) == before


def test_batches_are_bounded_in_bytes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "BATCH_BYTES", 1000)
    database["event"].insert_many([upstream_event(number) for number in range(20)])
    progress_calls: list[int] = []
    assert migrate(database, 5000, progress_calls.append) == Migrated(0, 20, 0)
    assert len(progress_calls) > 3
    assert progress_calls == sorted(progress_calls)
