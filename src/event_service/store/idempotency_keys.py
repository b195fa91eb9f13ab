"""The `idempotency_key` collection: one record per idempotency key, with an expiry.

A record is written before its events and holds their `_id`s, so that a retry, on any replica and after any crash,
writes the same documents. It is complete once it holds the event_ids that were stored.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from event_service.store.bulk import insert_each
from event_service.store.client import Database
from event_service.store.driver_errors import DUPLICATE_KEY, database_errors, translate_write
from event_service.store.object_ids import object_id_of

COLLECTION = "idempotency_key"


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """The record of one idempotency key of a webhook, or of one event identity in a project.

    Attributes:
        record_id: digest of webhook and key, or of project and identity.
        digest: digest of the payload; the same key with another payload is refused. "" accepts any payload.
        planned: (`_id` as 24 hexadecimal digits, event_id) of each event of the payload, in order.
        stored: event_ids that were stored; None until the create is complete.
    """

    record_id: str
    digest: str
    planned: tuple[tuple[str, str], ...]
    expire_at: datetime
    stored: tuple[str, ...] | None = None


class IdempotencyStore:
    """Reads and writes idempotency records."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._records = database[COLLECTION]
        self._timeout_ms = timeout_ms

    def find(self, record_ids: Iterable[str]) -> dict[str, IdempotencyRecord]:
        """Return the records that exist, by record_id."""
        wanted = {"_id": {"$in": list(record_ids)}}
        with database_errors():
            return {row["_id"]: _record(row) for row in self._records.find(wanted, max_time_ms=self._timeout_ms)}

    def forget(self, record_ids: Iterable[str], before: datetime) -> None:
        """Delete those records that expired before a time: the TTL index deletes only once a minute."""
        with database_errors(writing=True):
            self._records.delete_many({"_id": {"$in": list(record_ids)}, "expire_at": {"$lte": before}})

    def add(self, records: Sequence[IdempotencyRecord]) -> list[bool]:
        """Store new records. Return for each False if another writer has stored it first.

        Raises:
            EventServiceError: the database failed.
        """
        if not records:
            return []
        added = [True] * len(records)
        with database_errors(writing=True):
            failures = insert_each(self._records, [_row(record) for record in records])
        for failure in failures:
            if failure.code != DUPLICATE_KEY:
                raise translate_write(failure)
            added[failure.index] = False
        return added

    def complete(self, stored: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Store for each (record_id, event_ids) which events were stored, which completes the record."""
        if not stored:
            return
        writes = [
            UpdateOne({"_id": record_id}, {"$set": {"stored": list(event_ids)}}) for record_id, event_ids in stored
        ]
        with database_errors(writing=True):
            self._records.bulk_write(writes, ordered=False)


def _row(record: IdempotencyRecord) -> dict[str, Any]:
    return {
        "_id": record.record_id,
        "digest": record.digest,
        "planned": [[object_id_of(object_id), event_id] for object_id, event_id in record.planned],
        "expire_at": record.expire_at,
    }


def _record(row: dict[str, Any]) -> IdempotencyRecord:
    stored = row.get("stored")
    return IdempotencyRecord(
        record_id=row["_id"],
        digest=row["digest"],
        planned=tuple((str(object_id), event_id) for object_id, event_id in row["planned"]),
        expire_at=row["expire_at"],
        stored=None if stored is None else tuple(stored),
    )
