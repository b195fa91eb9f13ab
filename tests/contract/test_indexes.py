"""Creation of indexes in a new, a current, an upstream and a later database."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from event_service.concurrency import background_task
from event_service.errors import Unavailable
from event_service.store import indexes, schema
from event_service.store.client import Database
from event_service.store.indexes import EVENT, IDEMPOTENCY_KEY, build_in_background, diff, ensure, wanted
from event_service.store.schema import SchemaError
from tests.unit.store.shapes import documented_shapes


def has_all_indexes(database: Database) -> bool:
    difference = diff(database, wanted())
    return not (difference.missing or difference.changed or difference.not_unique)


def test_new_database_gets_all_indexes_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert diff(database, wanted()).missing == tuple(
        index
        for name in dict.fromkeys(i.collection for i in wanted())
        for index in wanted()
        if index.collection == name
    )
    assert ensure(database) is None
    assert has_all_indexes(database)
    assert schema.stored_version(database) == schema.VERSION
    monkeypatch.setattr(indexes, "_create", pytest.fail)
    assert ensure(database) is None


def test_event_id_is_unique(database: Database) -> None:
    ensure(database)
    database[EVENT].insert_one({"event_id": "event-1"})
    with pytest.raises(DuplicateKeyError):
        database[EVENT].insert_one({"event_id": "event-1"})


def test_indexes_of_an_upstream_database_stay(database: Database) -> None:
    events = database[EVENT]
    events.create_index([("event_id", ASCENDING)], name="upstreams_own")
    events.create_index([("occurred_at", ASCENDING)])
    events.insert_one({"event_id": "event-1", "created_at": datetime.now(UTC)})
    ensure(database)
    difference = diff(database, wanted())
    assert [index.keys for index in difference.not_unique] == [(("event_id", 1),)]
    assert not difference.missing
    assert (EVENT, "occurred_at_1") in difference.superfluous
    names = {index["name"] for index in events.list_indexes()}
    assert {"upstreams_own", "occurred_at_1"} <= names


def test_duplicate_ids_do_not_stop_the_service(database: Database) -> None:
    database[EVENT].insert_many([{"event_id": "event-1"}, {"event_id": "event-1"}])
    ensure(database)
    assert [index.keys for index in diff(database, wanted()).not_unique] == [(("event_id", 1),)]


def test_ttl_index_of_another_program_stays(database: Database) -> None:
    database[EVENT].create_index([("created_at", ASCENDING)], name="theirs", expireAfterSeconds=99)
    ensure(database)
    found = {index["name"]: index.get("expireAfterSeconds") for index in database[EVENT].list_indexes()}
    assert found["theirs"] == 99


def test_idempotency_keys_expire(database: Database) -> None:
    ensure(database)
    (ttl,) = [index for index in database[IDEMPOTENCY_KEY].list_indexes() if "expire_at" in dict(index["key"])]
    assert ttl.get("expireAfterSeconds") == 0


def test_large_collection_is_indexed_in_the_background(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "LARGE", 5)
    database[EVENT].insert_many([{"event_id": f"event-{number}"} for number in range(10)])
    building = ensure(database)
    assert building is not None
    assert building.wait(10)
    assert has_all_indexes(database)


def test_background_build_is_retried_until_it_succeeds(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_task, "_RETRY_SECONDS", 0.01)
    failures = iter([Unavailable("no"), Unavailable("not yet")])
    original = indexes._create

    def make(*arguments: Any, **options: Any) -> None:
        for failure in failures:
            raise failure
        original(*arguments, **options)

    monkeypatch.setattr(indexes, "_create", make)
    building = build_in_background(database, wanted())
    assert building.wait(10)
    assert has_all_indexes(database)


def test_database_of_a_later_schema_is_refused(database: Database) -> None:
    database[schema.COLLECTION].insert_one({"_id": "schema", "version": schema.VERSION + 1})
    with pytest.raises(SchemaError, match="install the later event-service that wrote it"):
        ensure(database)


@pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)
def test_documented_lists_are_planned_without_sort(database: Database) -> None:
    ensure(database)
    for shape in documented_shapes():
        found = database[EVENT].find(dict.fromkeys(shape.equal, "x"), sort=list(shape.sort), limit=10)
        plan = str(found.explain()["queryPlanner"]["winningPlan"])
        assert "IXSCAN" in plan, shape
        assert "'stage': 'SORT'" not in plan or "event_id" in shape.equal, shape  # which is one row
        assert "COLLSCAN" not in plan, shape
