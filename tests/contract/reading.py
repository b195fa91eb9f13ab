"""Stores events and reads them as JSON."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from google.protobuf import json_format

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.model.event import Event, EventDraft
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.client import Database
from event_service.store.documents import event_document
from event_service.store.event_reader import EventReader

DOMAIN = Scope("d-1")
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)

_numbers = itertools.count(1)


@pytest.fixture
def reader(database: Database) -> Iterator[EventReader]:
    reading = EventReader(database["event"])
    yield reading
    reading.close()


def stored(database: Database, *, legacy: bool = False, **values: Any) -> str:
    """Store an event and return its event_id. `legacy`: as upstream does, without `wire`."""
    document = document_of(**values)
    if legacy:
        del document["wire"]
    database["event"].insert_one(document)
    return str(document["event_id"])


def document_of(**values: Any) -> dict[str, Any]:
    """Return the document of a new event."""
    number = next(_numbers)
    scope = {name: values.pop(name, default) for name, default in SCOPE_OF_EVENTS.items()}
    created_at = values.pop("created_at", NOON + timedelta(seconds=number))
    alert_id = values.pop("alert_id", "")
    draft = EventDraft(**{"event_key": f"key-{number}", "title": f"event {number}", **values})
    event = Event(f"event-{number:012x}", draft, **scope, created_at=created_at, alert_id=alert_id)
    return event_document(event, ObjectId())


SCOPE_OF_EVENTS = {"domain_id": "d-1", "workspace_id": "w-1", "project_id": "p-1", "webhook_id": "webhook-1"}


def listed(reader: EventReader, scope: Scope = DOMAIN, equals: dict[str, str] | None = None, **query: Any) -> list[Any]:
    page = reader.list(scope, parse_list_query(query, equals or {}, EVENT_FIELDS))
    return [as_json(row) for row in page.rows]


def ids(rows: list[Any]) -> list[str]:
    return [row["event_id"] for row in rows]


def as_json(row: bytes) -> Any:
    return json_format.MessageToDict(event_pb2.EventInfo.FromString(row), preserving_proto_field_name=True)


def counted(reader: EventReader, scope: Scope = DOMAIN, **query: Any) -> tuple[int, int, bool]:
    page = reader.list(scope, parse_list_query(query, {}, EVENT_FIELDS))
    return len(page.rows), page.total_count, page.cut


def statistic(reader: EventReader, *stages: Any, scope: Scope = DOMAIN, **query: Any) -> Any:
    asked = {"aggregate": list(stages), **query}
    return reader.stat(scope, parse_stat_query(asked, EVENT_FIELDS))["results"]
