"""Bulk inserts of a transaction store all documents, or name the one that was refused."""

import pytest

from event_service.errors import TooLarge
from event_service.store.bulk import insert_all
from event_service.store.client import Database
from event_service.store.driver_errors import DUPLICATE_KEY, WriteRefused, translate_write
from event_service.store.transaction import transaction

pytestmark = pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)  # mongomock has no transactions

Rows = list[dict[str, object]]


def insert(database: Database, documents: Rows) -> None:
    with transaction(database) as session:
        database["rows"].find_one(session=session)
        insert_all(database["rows"], documents, session)


def refusal(database: Database, documents: Rows) -> WriteRefused:
    """Return why the documents were refused."""
    with pytest.raises(WriteRefused) as refused:
        insert(database, documents)
    return refused.value


def test_refused_document_is_named_and_none_is_stored(database: Database) -> None:
    rows = database["rows"]
    rows.create_index("name", unique=True)
    insert(database, [{"_id": 3, "name": "c"}, {"_id": 5, "name": "e"}])
    refused = refusal(database, [{"_id": number, "name": name} for number, name in enumerate("abxec", start=10)])
    assert (refused.collection, refused.failure.index) == ("rows", 3)
    assert (refused.failure.code, refused.failure.key) == (DUPLICATE_KEY, "name")
    assert {row["_id"]: row["name"] for row in rows.find()} == {3: "c", 5: "e"}


def test_documents_above_one_command_are_all_inserted(database: Database) -> None:
    rows = database["rows"]
    rows.insert_one({"_id": 39})
    documents: Rows = [{"_id": number, "text": "x" * 500_000} for number in range(40)]
    assert refusal(database, documents).failure.index == 39
    assert rows.count_documents({}) == 1
    insert(database, documents[:39])
    assert rows.count_documents({}) == 40


def test_too_large_document_is_named(database: Database) -> None:
    database.create_collection("rows")
    refused = refusal(database, [{"_id": number, "text": "x" * (number * 9_000_000)} for number in range(3)])
    assert refused.failure.index == 2
    assert type(translate_write(refused.failure)) is TooLarge
    assert database["rows"].count_documents({}) == 0
