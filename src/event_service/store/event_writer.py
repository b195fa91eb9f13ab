"""Inserts into the `event` collection, and look-ups that assigning an event to its alert needs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId
from pymongo import DESCENDING, UpdateOne

from event_service.model.condition import AlertReference, ConditionKey, PastEvent
from event_service.model.event import Event
from event_service.store.bulk import insert_all
from event_service.store.client import Database
from event_service.store.documents import WIRE, event_document
from event_service.store.driver_errors import database_errors
from event_service.store.object_ids import object_id_of
from event_service.store.totals import rollup_store
from event_service.store.totals.rollup_store import invalidate
from event_service.store.transaction import Session
from event_service.wire.event_info import remove_alert_id
from event_service.wire.timestamps import Clock, utc_now

COLLECTION = "event"

_CHUNK = 500  # events of one write


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

    def __init__(self, database: Database, timeout_ms: int, clock: Clock = utc_now) -> None:
        self._events = database[COLLECTION]
        self._rollups = database[rollup_store.COLLECTION]
        self._timeout_ms = timeout_ms
        self._clock = clock

    def insert(self, events: Sequence[NewEvent], session: Session) -> None:
        """Store events.

        Raises:
            WriteRefused: an event_id is taken (48 random bits), or the server refuses an event.
        """
        documents = [event_document(new.event, object_id_of(new.object_id), new.alert, new.wire) for new in events]
        # Before the insert, and not in the transaction: a rollup must not count the bucket as complete between the two.
        invalidate(self._rollups, ((new.event.domain_id, new.event.created_at) for new in events), self._clock())
        insert_all(self._events, documents, session)

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

    def key_of_alert(self, alert_id: str) -> ConditionKey | None:
        """Return the key of the newest event of an alert, or None without events."""
        with database_errors():
            row = self._events.find_one(
                {"alert_id": alert_id},
                dict.fromkeys(ConditionKey._fields, True),
                sort=[("created_at", DESCENDING), ("_id", DESCENDING)],
                max_time_ms=self._timeout_ms,
            )
        return None if row is None else ConditionKey(*(str(row.get(name) or "") for name in ConditionKey._fields))

    def remove_alert(self, domain_id: str, alert_id: str) -> None:
        """Remove the id of an alert from its events, in small journalled writes. It may be run again.

        Raises:
            Unavailable: the database failed. Earlier writes stay.
        """
        matching = {"alert_id": alert_id, "domain_id": domain_id}
        with database_errors(writing=True):
            while rows := list(self._events.find(matching, {WIRE: True}, limit=_CHUNK)):
                updates = []
                for row in rows:
                    fields: dict[str, Any] = {"alert": None, "alert_id": None}
                    if WIRE in row:
                        fields[WIRE] = remove_alert_id(bytes(row[WIRE]), alert_id)
                    updates.append(UpdateOne({"_id": row["_id"]}, {"$set": fields}))
                self._events.bulk_write(updates, ordered=False)

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
