"""Bulk inserts store every valid document and report each refused one."""

import threading

from event_service.errors import TooLarge
from event_service.settings import Settings
from event_service.store.bulk import insert_each
from event_service.store.client import Database, close, connect
from event_service.store.driver_errors import DUPLICATE_KEY, translate_write
from tests.contract.tcp_proxy import TcpProxy


def test_refused_document_is_named_and_others_are_stored(database: Database) -> None:
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


def test_documents_above_one_command_are_all_inserted(database: Database) -> None:
    rows = database["rows"]
    rows.insert_many([{"_id": number} for number in (2, 19, 39)])
    failures = insert_each(rows, [{"_id": number, "text": "x" * 1_000_000} for number in range(40)])
    assert [(failure.index, failure.code) for failure in failures] == [
        (number, DUPLICATE_KEY) for number in (2, 19, 39)
    ]
    assert rows.count_documents({"text": {"$exists": True}}) == 37


def test_too_large_document_is_refused_alone(mongodb_uri: str) -> None:
    database = connect(Settings(database="test_too_large"), mongodb_uri)
    rows = database["rows"]
    try:
        failures = insert_each(rows, [{"_id": number, "text": "x" * (number * 9_000_000)} for number in range(3)])
        assert [failure.index for failure in failures] == [2]
        assert type(translate_write(failures[0])) is TooLarge
        assert [row["_id"] for row in rows.find({}, {"_id": True}, sort=[("_id", 1)])] == [0, 1]
    finally:
        database.client.drop_database(database.name)
        close(database)


def test_lost_reply_is_retried_once(mongodb_uri: str) -> None:
    proxy = TcpProxy.of_uri(mongodb_uri)
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
