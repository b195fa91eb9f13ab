"""Many writes in one: all carried out, each refusal its own, and everything journalled at the end."""

import os
import signal
import threading
from pathlib import Path

import pytest
from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from event_service.errors import TooLarge
from event_service.settings import Settings
from event_service.store.bulk import find_by_id, insert_each, write_updates
from event_service.store.client import Database, close, connect
from event_service.store.embedded.database import EmbeddedDatabase, EmbeddedDatabaseError
from event_service.store.failures import DUPLICATE_KEY, translate_write, write_errors
from tests.contract.tcp_proxy import TcpProxy


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_all_updates_are_carried_out(database: Database, count: int) -> None:
    rows = database["rows"]
    write_updates(rows, [ReplaceOne({"_id": number}, {"value": number}, upsert=True) for number in range(count)])
    write_updates(rows, [UpdateOne({"_id": number}, {"$inc": {"value": 1}}) for number in range(count)])
    assert [row["value"] for row in rows.find(sort=[("_id", 1)])] == list(range(1, count + 1))


def test_a_refused_update_is_named_and_the_others_are_stored(database: Database) -> None:
    rows = database["rows"]
    rows.insert_one({"_id": 3, "version": 7})
    updates = [ReplaceOne({"_id": number, "version": 0}, {"version": 1}, upsert=True) for number in range(6)]
    with pytest.raises(BulkWriteError) as caught:
        write_updates(rows, updates)
    assert [(failure.index, failure.code) for failure in write_errors(caught.value)] == [(3, DUPLICATE_KEY)]
    assert {row["_id"]: row["version"] for row in rows.find()} == {0: 1, 1: 1, 2: 1, 3: 7, 4: 1, 5: 1}


def test_a_refused_document_is_named_and_the_others_are_stored(database: Database) -> None:
    rows = database["rows"]
    rows.create_index("name", unique=True)
    assert insert_each(rows, [{"_id": 3, "name": "c"}, {"_id": 5, "name": "e"}]) == []
    documents = [{"_id": number, "name": name} for number, name in enumerate("abcxec", start=1)]
    failures = insert_each(rows, documents)
    assert [(failure.index, failure.code) for failure in failures] == [
        (2, DUPLICATE_KEY),
        (4, DUPLICATE_KEY),
        (5, DUPLICATE_KEY),
    ]
    assert {row["_id"]: row["name"] for row in rows.find()} == {1: "a", 2: "b", 3: "c", 4: "x", 5: "e"}


def test_documents_of_more_than_one_command_are_all_inserted(database: Database) -> None:
    rows = database["rows"]
    rows.insert_many([{"_id": number} for number in (2, 19, 39)])
    failures = insert_each(rows, [{"_id": number, "text": "x" * 1_000_000} for number in range(40)])
    assert [(failure.index, failure.code) for failure in failures] == [
        (number, DUPLICATE_KEY) for number in (2, 19, 39)
    ]
    assert rows.count_documents({"text": {"$exists": True}}) == 37


def test_a_document_that_is_too_large_is_refused_alone(embedded_uri: str) -> None:
    database = connect(Settings(database="test_too_large"), embedded_uri)
    rows = database["rows"]
    try:
        failures = insert_each(rows, [{"_id": number, "text": "x" * (number * 9_000_000)} for number in range(3)])
        assert [failure.index for failure in failures] == [2]
        assert type(translate_write(failures[0])) is TooLarge
        assert [row["_id"] for row in rows.find({}, {"_id": True}, sort=[("_id", 1)])] == [0, 1]
    finally:
        database.client.drop_database(database.name)
        close(database)


def test_a_connection_that_breaks_before_the_answer_is_tried_once_more(embedded_uri: str) -> None:
    host, port = embedded_uri.removeprefix("mongodb://").partition("/")[0].split(":")
    proxy = TcpProxy((host, int(port)))
    database = connect(
        Settings(database="test_insert_each"), f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
    )
    rows = database["rows"]
    try:
        assert insert_each(rows, [{"_id": 0}]) == []
        proxy.silent = True
        threading.Timer(0.3, lambda: (setattr(proxy, "silent", False), proxy.reset())).start()
        failures = insert_each(rows, [{"_id": number} for number in range(1, 4)])
        assert [(failure.index, failure.key) for failure in failures] == [(0, "_id"), (1, "_id"), (2, "_id")]
        assert rows.count_documents({}) == 4
    finally:
        database.client.drop_database(database.name)
        close(database)
        proxy.close()


@pytest.mark.parametrize("count", [0, 1, 256, 600])
def test_documents_are_found_by_id_however_many(database: Database, count: int) -> None:
    if count:
        database["rows"].insert_many([{"_id": number, "value": "x"} for number in range(count)])
    found = [*find_by_id(database["rows"], range(-5, count + 5), {"_id": True}, max_time_ms=5000)]
    assert sorted(row["_id"] for row in found) == list(range(count))
    assert all(list(row) == ["_id"] for row in found)


def test_what_has_returned_survives_kill_9(tmp_path: Path) -> None:
    embedded = EmbeddedDatabase(tmp_path)
    try:
        database = connect(Settings(), embedded.start())
    except EmbeddedDatabaseError as error:
        pytest.skip(f"embedded: {error}")
    rows = database["rows"]
    for round_number in range(5):
        updates = [
            ReplaceOne({"_id": f"{round_number}-{number}"}, {"value": "x" * 100}, upsert=True) for number in range(100)
        ]
        write_updates(rows, updates)
    # The last batch, too: refused at its end, which must not keep the others from being journalled.
    with pytest.raises(BulkWriteError):
        write_updates(
            rows,
            [UpdateOne({"_id": f"last-{number}"}, {"$set": {"value": 1}}, upsert=True) for number in range(10)]
            + [UpdateOne({"_id": "0-0", "value": None}, {"$set": {"value": 1}}, upsert=True)],
        )
    os.kill(embedded.pid, signal.SIGKILL)
    close(database)
    embedded.stop()
    again = EmbeddedDatabase(tmp_path)
    database = connect(Settings(), again.start())
    assert database["rows"].count_documents({}) == 510
    close(database)
    again.stop()
