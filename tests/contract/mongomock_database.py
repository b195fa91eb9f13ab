"""mongomock 4.3 for pymongo 4.18, which passes options that its methods do not accept, and raw batches."""

from collections.abc import Iterator
from typing import Any

import bson
import mongomock
import pytest
from bson.raw_bson import RawBSONDocument
from mongomock.collection import BulkOperationBuilder, Collection
from mongomock.database import Database as MongomockDatabase

from event_service.store.client import Database


def make_database(name: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Return an empty mongomock database."""
    _ignore(monkeypatch, BulkOperationBuilder, "add_update", "sort")
    _ignore(monkeypatch, BulkOperationBuilder, "add_replace", "sort")
    _ignore(monkeypatch, Collection, "distinct", "maxTimeMS")
    monkeypatch.setattr(Collection, "aggregate_raw_batches", _aggregate_raw_batches, raising=False)
    monkeypatch.setattr(Collection, "find_raw_batches", _find_raw_batches)
    monkeypatch.setattr(MongomockDatabase, "command", _distinct_command)
    return mongomock.MongoClient(tz_aware=True)[name]


def _ignore(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, option: str) -> None:
    original = getattr(owner, method)

    def called(self: Any, *arguments: Any, **options: Any) -> Any:
        options.pop(option, None)
        return original(self, *arguments, **options)

    monkeypatch.setattr(owner, method, called)


def _aggregate_raw_batches(self: Any, stages: Any, **_: Any) -> Iterator[bytes]:
    stages = [stage for stage in stages if "$replaceWith" not in stage]  # mongomock: no $bsonSize
    yield from map(bson.encode, self.aggregate(stages))


def _find_raw_batches(self: Any, *arguments: Any, **options: Any) -> Iterator[bytes]:
    yield from map(bson.encode, self.find(*arguments, **options))


def _distinct_command(self: Any, _: str, collection: str, *, key: str, query: Any, **__: Any) -> RawBSONDocument:
    return RawBSONDocument(bson.encode({"values": self[collection].distinct(key, query)}))
