"""Inserts into the `event` collection, and look-ups that assigning an event to its alert needs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import DESCENDING, ReadPreference

from event_service.errors import EventServiceError
from event_service.model.condition import AlertReference, ConditionKey, PastEvent
from event_service.model.event import Event
from event_service.store.bulk import insert_each
from event_service.store.client import LINEARIZABLE, Database
from event_service.store.documents import event_document
from event_service.store.driver_errors import DUPLICATE_KEY, database_errors, translate_write
from event_service.store.object_ids import object_id_of
from event_service.store.totals import rollup_store
from event_service.store.totals.rollup_store import invalidate

COLLECTION = "event"


class Inserted(Enum):
    """Outcome of inserting one event."""

    STORED = auto()
    # Its `_id` exists: an earlier attempt stored the same event.
    WAS_STORED = auto()
    # Another event has the same event_id (48 random bits): generate another.
    EVENT_ID_TAKEN = auto()


class NewEvent(NamedTuple):
    """An event to insert.

    Attributes:
        object_id: its `_id`, as 24 hexadecimal digits.
        wire: the serialised EventInfo without alert_id.
    """

    object_id: str
    event: Event
    alert: AlertReference | None
    wire: bytes


class EventWriter:
    """The write side of the `event` collection."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._events = database[COLLECTION]
        self._confirmed = database.get_collection(
            COLLECTION, read_concern=LINEARIZABLE, read_preference=ReadPreference.PRIMARY
        )
        self._rollups = database[rollup_store.COLLECTION]
        self._timeout_ms = timeout_ms

    def insert(self, events: Sequence[NewEvent]) -> list[Inserted | EventServiceError]:
        """Store events in one journalled write.

        Returns:
            For each event its outcome, or why the database refused it.

        Raises:
            EventServiceError: nothing is known of any event.
        """
        if not events:
            return []
        outcomes: list[Inserted | EventServiceError] = [Inserted.STORED] * len(events)
        documents = [event_document(new.event, object_id_of(new.object_id), new.alert, new.wire) for new in events]
        # Before the insert: a rollup must not count the bucket as complete between the two.
        invalidate(self._rollups, ((new.event.domain_id, new.event.created_at) for new in events), datetime.now(UTC))
        with database_errors(writing=True):
            failures = insert_each(self._events, documents)
        for failure in failures:
            if failure.code != DUPLICATE_KEY:
                outcomes[failure.index] = translate_write(failure)
            elif failure.key == "_id":
                outcomes[failure.index] = Inserted.WAS_STORED
            else:
                outcomes[failure.index] = Inserted.EVENT_ID_TAKEN
        # A document that was stored before violates both unique indexes; the reply names only one of them.
        if taken := [index for index, outcome in enumerate(outcomes) if outcome is Inserted.EVENT_ID_TAKEN]:
            existing = self.existing(events[index].object_id for index in taken)
            for index in taken:
                if events[index].object_id in existing:
                    outcomes[index] = Inserted.WAS_STORED
        return outcomes

    def existing(self, object_ids: Iterable[str]) -> set[str]:
        """Return those of the `_id`s that are stored. Linearizable: no failover removes one, no earlier write adds one.

        Raises:
            Unavailable: the server has no majority or is no longer primary.
        """
        ids = [object_id_of(digits) for digits in object_ids]
        if not ids:
            return set()
        with database_errors(writing=True):
            rows = self._confirmed.find({"_id": {"$in": ids}}, {"_id": True}, max_time_ms=self._timeout_ms)
            return {str(row["_id"]) for row in rows}

    def newest_alerts(self, keys: Sequence[ConditionKey]) -> dict[ConditionKey, PastEvent]:
        """Return for each key its newest event that has an alert and is not a RECOVERY; keys without one are missing.

        Only an upstream database has such events without a condition row, so in nearly every case this is one query
        per webhook, which finds nothing.
        """
        by_owner: dict[tuple[str, str, str, str], list[ConditionKey]] = {}
        for key in keys:
            owner = (key.domain_id, key.workspace_id, key.project_id, key.webhook_id)
            by_owner.setdefault(owner, []).append(key)
        found = {}
        for (domain_id, workspace_id, project_id, webhook_id), owned in by_owner.items():
            owner_filter = {
                "domain_id": domain_id,
                "workspace_id": workspace_id,
                "project_id": project_id,
                "webhook_id": webhook_id,
            }
            # One query for all keys first: the query below for each key is rarely needed.
            with database_errors():
                known = set(
                    self._events.distinct(
                        "event_key",
                        {**owner_filter, "event_key": {"$in": [key.event_key for key in owned]}},
                        maxTimeMS=self._timeout_ms,
                    )
                )
            for key in owned:
                if key.event_key in known and (past := self._newest_alert(owner_filter, key.event_key)):
                    found[key] = past
        return found

    def _newest_alert(self, owner_filter: Mapping[str, Any], event_key: str) -> PastEvent | None:
        with database_errors():
            row = self._events.find_one(
                {**owner_filter, "event_key": event_key, "event_type": {"$ne": "RECOVERY"}, "alert_id": {"$gt": ""}},
                {"_id": False, "alert": True, "alert_id": True, "created_at": True, "occurred_at": True},
                sort=[("created_at", DESCENDING), ("_id", DESCENDING)],
                max_time_ms=self._timeout_ms,
            )
        if row is None or not isinstance(row.get("created_at"), datetime):
            return None
        alert = row.get("alert")
        alert_object_id = str(alert) if isinstance(alert, ObjectId) else ""
        occurred_at = row.get("occurred_at")
        return PastEvent(
            alert=AlertReference(alert_object_id, row["alert_id"]),
            created_at=row["created_at"],
            occurred_at=occurred_at if isinstance(occurred_at, datetime) else None,
        )
