"""A restored backup equals the database; a restore that is refused changes nothing."""

import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex

from event_service.model.webhook import access_key_hash
from event_service.store import indexes, schema
from event_service.store.client import Database
from event_service.store.maintenance import backup
from event_service.store.maintenance.archive import ArchiveError, ArchiveReader
from event_service.store.maintenance.backup import COLLECTIONS, RestoreRefused, back_up, contents, restore
from event_service.store.schema import SchemaError
from tests.contract.test_migration import upstream_event, upstream_webhook

EVENTS = 100

# What a payload never holds, and an upstream database might.
ODD = {
    "long": Int64(2**62),
    "decimal": Decimal128(Decimal("0.1")),
    "bytes": Binary(b"\0\xff", 5),
    "re": Regex("x", "i"),
}


@pytest.fixture(autouse=True)
def raw_batches(database_kind: str) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock does not hand out documents as BSON")


@pytest.fixture
def filled(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Return a database with every collection, and events for more than one batch."""
    monkeypatch.setattr(backup, "BATCH_DOCUMENTS", 40)
    schema.ensure(database)
    indexes.ensure(database)
    database["event"].insert_many([upstream_event(number, wire=b"x" * number) for number in range(EVENTS)])
    database["event"].insert_one(upstream_event(EVENTS, raw_data=ODD))
    database["condition"].insert_many(
        [{"_id": f"{number:032x}", "version": 1, "resolutions": []} for number in range(7)]
    )
    database["alert"].insert_many([{"alert_id": f"alert-{number}", "state": "TRIGGERED"} for number in range(5)])
    database["alert_counter"].insert_one({"_id": {"domain_id": "d-1", "workspace_id": "ws-1"}, "last": 5})
    database["idempotency_key"].insert_one(
        {"_id": "c", "planned": [[ObjectId(), "event-1"]], "expire_at": datetime.now(UTC)}
    )
    database["webhook"].insert_one(upstream_webhook(1))
    database["webhook"].insert_one(
        {"webhook_id": "webhook-2", "encrypted_keys": [b"encrypted"], "access_key_hashes": ["h"]}
    )
    database["health"].insert_one({"_id": "probe"})
    database["lease"].insert_one({"_id": "task"})
    database["note"].insert_one({"of": "another program"})
    return database


def dump(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return all documents by collection, with their order of fields."""
    return {
        name: sorted(database[name].find(), key=lambda row: str(row["_id"]))
        for name in COLLECTIONS
        if name != schema.COLLECTION
    }


def archived(database: Database, tmp_path: Path) -> Path:
    path = tmp_path / "backup.zip"
    with path.open("wb") as target:
        back_up(database, target, "1.2.3")
    return path


def put_back(database: Database, path: Path, **options: Any) -> None:
    with ArchiveReader(path) as archive:
        restore(database, archive, **options)


def test_restored_database_equals_the_original(filled: Database, tmp_path: Path) -> None:
    before = dump(filled)
    before["webhook"] = [
        {name: value for name, value in row.items() if name not in {"access_key", "webhook_url"}}
        | ({"access_key_hashes": [access_key_hash("clear-1")]} if row["webhook_id"] == "webhook-1" else {})
        for row in before["webhook"]
    ]
    path = archived(filled, tmp_path)
    filled["event"].delete_many({"event_id": {"$gt": "event-000000000010"}})
    filled["event"].update_many({}, {"$set": {"title": "changed since"}})
    progress_calls: dict[str, int] = {}
    put_back(
        filled,
        path,
        replace=True,
        progress=lambda name, count: progress_calls.update({name: progress_calls.get(name, 0) + count}),
    )
    assert dump(filled) == before
    assert progress_calls == {name: len(rows) for name, rows in before.items()}
    assert schema.stored_version(filled) == schema.VERSION
    assert schema.restoring_since(filled) is None
    difference = indexes.diff(filled, indexes.wanted())
    assert (difference.missing, difference.changed, difference.not_unique) == ((), (), ())
    assert filled["note"].count_documents({}) == 1


def test_restore_into_an_empty_database(filled: Database, tmp_path: Path) -> None:
    path = archived(filled, tmp_path)
    before = {name: len(rows) for name, rows in dump(filled).items()}
    for name in COLLECTIONS:
        filled[name].drop()
    put_back(filled, path)
    assert {name: len(rows) for name, rows in dump(filled).items()} == before


def test_restore_refuses_a_database_with_documents(filled: Database, tmp_path: Path) -> None:
    path = archived(filled, tmp_path)
    before = dump(filled)
    with pytest.raises(RestoreRefused, match="is not empty"):
        put_back(filled, path)
    assert dump(filled) == before
    schema.ensure(filled)


def test_damaged_archive_is_not_restored(filled: Database, tmp_path: Path) -> None:
    path = archived(filled, tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    before = dump(filled)
    with pytest.raises(ArchiveError, match="damaged"):
        put_back(filled, path, replace=True)
    assert dump(filled) == before


def test_backup_of_a_later_schema_is_not_restored(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archived(filled, tmp_path)
    monkeypatch.setattr(schema, "VERSION", 0)
    with pytest.raises(SchemaError, match=r"the backup of .* has schema version 1"):
        put_back(filled, path, replace=True)


class Interrupted(Exception):
    pass


def test_half_restored_database_is_refused(filled: Database, tmp_path: Path) -> None:
    path = archived(filled, tmp_path)
    before = {name: len(rows) for name, rows in dump(filled).items()}

    def interrupt(name: str, _count: int) -> None:
        if name == "event":
            raise Interrupted

    with pytest.raises(Interrupted):
        put_back(filled, path, replace=True, progress=interrupt)
    assert schema.restoring_since(filled) is not None
    with pytest.raises(SchemaError, match="is not finished: run it again"):
        indexes.ensure(filled)
    with pytest.raises(SchemaError, match="is not finished"):
        back_up(filled, io.BytesIO(), "1.2.3")
    put_back(filled, path, replace=True)
    indexes.ensure(filled)
    assert {name: len(rows) for name, rows in dump(filled).items()} == before


def test_backup_holds_no_access_key_in_clear(filled: Database, tmp_path: Path) -> None:
    path = archived(filled, tmp_path)
    with ArchiveReader(path) as archive:
        for name in COLLECTIONS:
            assert not any(b"clear-1" in document for document in archive.documents(name))


def test_restored_upstream_database_has_no_schema_version(database: Database, tmp_path: Path) -> None:
    database["event"].insert_one(upstream_event(1))
    path = archived(database, tmp_path)
    put_back(database, path, replace=True)
    assert database["event"].count_documents({"wire": {"$exists": False}}) == 1
    assert schema.stored_version(database) == schema.VERSION  # as after any start


def test_contents_counts_documents_and_names_other_collections(filled: Database) -> None:
    found = contents(filled)
    assert found.others == ("note",)
    assert found.documents["event"] == EVENTS + 1


def test_idempotency_records_are_backed_up_before_events() -> None:
    order = [COLLECTIONS.index(name) for name in ("idempotency_key", "condition", "alert", "event")]
    assert order == sorted(order)


def test_large_events_are_restored(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database["event"].insert_many([upstream_event(number, raw_data={"x": "y" * 3_000_000}) for number in range(7)])
    monkeypatch.setattr(backup, "BATCH_BYTES", 4_000_000)
    before = dump(database)
    put_back(database, archived(database, tmp_path), replace=True)
    assert dump(database) == before
