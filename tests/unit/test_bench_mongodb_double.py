"""bench/mongodb_double.py: the real driver talks to it as to a database."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pymongo
import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from bench.mongodb_double import Double, serve
from bench.processes import free_port, wait_for_port
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2

LATENCY = 0.05


@pytest.fixture(scope="module")
def database() -> Iterator[Database[dict[str, object]]]:
    port, loop = free_port(), asyncio.new_event_loop()
    serving = loop.create_task(serve(port, Double(events=5000, write_latency=LATENCY)))

    def run() -> None:
        try:
            loop.run_until_complete(serving)
        except asyncio.CancelledError:
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    wait_for_port(port, 10)
    client: MongoClient[dict[str, object]] = MongoClient(
        f"mongodb://127.0.0.1:{port}", directConnection=True, w="majority", journal=True
    )
    yield client.monitoring
    client.close()
    loop.call_soon_threadsafe(serving.cancel)
    thread.join(10)


def test_hello_is_that_of_a_primary(database: Database[dict[str, object]]) -> None:
    assert database.command("ping")["ok"] == 1
    assert database.client.is_primary
    assert database.command("hello")["setName"] == "double", "the service takes no standalone"


def test_a_list_has_as_many_events_as_asked_for(database: Database[dict[str, object]]) -> None:
    rows = list(database.event.find({"domain_id": "d"}, {"wire": True}).sort("created_at", -1).limit(250))
    assert len(rows) == 250
    assert set(rows[0]) == {"_id", "wire"}
    wire = rows[7]["wire"]
    assert isinstance(wire, bytes)
    assert event_pb2.EventInfo.FromString(wire).raw_data["title"] == "load"


def test_a_list_ends_where_the_events_end(database: Database[dict[str, object]]) -> None:
    assert len(list(database.event.find({}).skip(4990).limit(100))) == 10
    assert database.event.count_documents({}) == 5000


def test_one_event_is_found_by_its_id(database: Database[dict[str, object]]) -> None:
    found = database.event.find_one({"event_id": "event-000000000000"}, {"_id": False, "wire": True})
    assert found is not None
    assert set(found) == {"wire"}
    assert database.event.find_one({"event_id": "event-fffffffffff0"}) is None


def test_events_are_found_by_several_ids(database: Database[dict[str, object]]) -> None:
    names = ["event-000000000003", "event-fffffffffff0", "event-000000000001"]
    rows = database.event.find({"event_id": {"$in": names}}, {"event_id": True})
    assert {row["event_id"] for row in rows} == {"event-000000000001", "event-000000000003"}
    assert list(database.event.find({"_id": {"$in": [1, 2]}})) == []


def test_groups_are_counted(database: Database[dict[str, object]]) -> None:
    stages = [{"$match": {"domain_id": "d"}}, {"$group": {"_id": {"s": "$severity"}, "count": {"$sum": 1}}}]
    assert list(database.event.aggregate(stages)) == [{"_id": {"s": "ERROR"}, "count": 5000}]


def test_a_key_that_is_new_has_no_condition(database: Database[dict[str, object]]) -> None:
    database.condition.insert_one({"_id": "c"})
    assert list(database.condition.find({"_id": {"$in": ["c"]}})) == []
    assert database.event.distinct("event_key", {"event_key": {"$in": ["k"]}}) == []


def test_webhooks_are_kept(database: Database[dict[str, object]]) -> None:
    database.webhook.insert_one({"webhook_id": "w-1", "name": "one"})
    found = database.webhook.find_one({"webhook_id": "w-1"})
    assert found is not None
    assert found["name"] == "one"
    assert database.webhook.find_one({"webhook_id": "w-2"}) is None


def test_a_write_takes_its_time_and_all_of_it_is_acknowledged(database: Database[dict[str, object]]) -> None:
    began = time.perf_counter()
    result = database.event.bulk_write(
        [pymongo.ReplaceOne({"_id": number}, {"x": 1}, upsert=True) for number in range(64)], ordered=False
    )
    assert result.matched_count == 64
    assert LATENCY <= time.perf_counter() - began < 2
    assert len(database.event.insert_many([{"x": number} for number in range(64)]).inserted_ids) == 64


def test_unknown_query_is_an_error(database: Database[dict[str, object]]) -> None:
    database.webhook.insert_one({"webhook_id": "w-3", "name": "three"})
    with pytest.raises(OperationFailure, match="does not know"):
        database.webhook.find_one({"name": {"$gt": "a"}})
    with pytest.raises(OperationFailure, match="does not know"):
        database.command("mapReduce", "event")


def test_only_the_commit_of_a_transaction_waits(database: Database[dict[str, object]]) -> None:
    with database.client.start_session() as session:
        started = time.monotonic()
        session.start_transaction()
        assert database.condition.find_one({"_id": "c"}, session=session) is None
        for _ in range(3):
            database.event.insert_one({}, session=session)
        session.commit_transaction()
        assert LATENCY <= time.monotonic() - started < 4 * LATENCY
        session.start_transaction()
        database.event.insert_one({}, session=session)
        session.abort_transaction()
