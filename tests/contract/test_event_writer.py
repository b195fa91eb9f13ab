"""A repeated insert of one event and another event with the same event_id have different outcomes."""

from dataclasses import replace
from datetime import UTC, datetime

from event_service.model.event import Event, EventDraft
from event_service.store.client import Database
from event_service.store.event_writer import EventWriter, Inserted, NewEvent
from event_service.store.object_ids import new_object_id
from event_service.wire.event_info import encode_event

EVENT = Event(
    event_id="event-000000000001",
    draft=EventDraft(event_key="k"),
    domain_id="domain-1",
    workspace_id="workspace-1",
    project_id="project-1",
    webhook_id="webhook-1",
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
)


def new_event(event_id: str, object_id: str) -> NewEvent:
    event = replace(EVENT, event_id=event_id)
    return NewEvent(object_id, event, None, encode_event(event))


def test_outcome_of_each_insert(database: Database) -> None:
    database["event"].create_index("event_id", unique=True)
    writer = EventWriter(database, 5000)
    first = new_event("event-000000000001", new_object_id())
    assert writer.insert([first]) == [Inserted.STORED]
    taken = new_event("event-000000000001", new_object_id())
    other = new_event("event-000000000002", new_object_id())
    assert writer.insert([first, taken, other, other]) == [
        Inserted.WAS_STORED,
        Inserted.EVENT_ID_TAKEN,
        Inserted.STORED,
        Inserted.WAS_STORED,
    ]
    assert writer.existing([first.object_id, taken.object_id, other.object_id]) == {first.object_id, other.object_id}
