"""mongomock 4.3 for pymongo 4.18, which passes options that three of its methods do not accept."""

from typing import Any

import mongomock
import pytest
from mongomock.collection import BulkOperationBuilder, Collection

from event_service.store.client import Database


def make_database(name: str, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Return an empty mongomock database."""
    _ignore(monkeypatch, BulkOperationBuilder, "add_update", "sort")
    _ignore(monkeypatch, BulkOperationBuilder, "add_replace", "sort")
    _ignore(monkeypatch, Collection, "distinct", "maxTimeMS")
    return mongomock.MongoClient(tz_aware=True)[name]


def _ignore(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, option: str) -> None:
    original = getattr(owner, method)

    def called(self: Any, *arguments: Any, **options: Any) -> Any:
        options.pop(option, None)
        return original(self, *arguments, **options)

    monkeypatch.setattr(owner, method, called)
