"""The recorded events, in a database that the cases share."""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from event_service.settings import Settings
from event_service.store import indexes
from event_service.store.client import close, connect
from event_service.store.event_reader import EventReader
from tests.contract.conftest import mongodb_uri

__all__ = ["mongodb_uri"]

HERE = Path(__file__).parent


def read_events() -> list[dict[str, Any]]:
    """The documents as upstream stored them."""
    documents = [json.loads(line) for line in (HERE / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    for document in documents:
        for key in ("_id", "alert"):
            if document.get(key):
                document[key] = ObjectId(document[key])
        for key in ("created_at", "occurred_at"):
            if document.get(key):
                document[key] = datetime.fromisoformat(document[key])
    return documents


@pytest.fixture(scope="session")
def reader(mongodb_uri: str) -> Iterator[EventReader]:
    """Reads the recorded events."""
    database = connect(Settings(database=f"conformance_{os.getpid()}"), mongodb_uri)
    indexes.ensure(database)
    database["event"].insert_many(read_events())
    reading = EventReader(database["event"])
    yield reading
    reading.close()
    database.client.drop_database(database.name)
    close(database)
