"""The `claim` collection: what was sent under an idempotency key, remembered for a while.

A claim is written before the events it stands for and names their `_id`s, so that a second attempt, on any
replica and after any crash, writes the same documents. It is complete once it says which of them were stored.
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
    """One idempotency key of one webhook, or one identity of an event in one project.

    Attributes:
        record_id: digest of the two.
        digest: digest of the payload it came with; the same key with another one is refused. "" = any payload.
        planned: (`_id` as 24 hexadecimal digits, event_id) of each event of the payload, in order.
        stored: event_ids that were stored, once the work is complete; None before.
    """

    record_id: str
    digest: str
    planned: tuple[tuple[str, str], ...]
    expire_at: datetime
    stored: tuple[str, ...] | None = None


class IdempotencyStore:
    """Reads and writes claims."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._claims = database[COLLECTION]
        self._timeout_ms = timeout_ms

    def find(self, record_ids: Iterable[str]) -> dict[str, IdempotencyRecord]:
        """The stored claims among `record_ids`, by their id."""
        wanted = {"_id": {"$in": list(record_ids)}}
        with database_errors():
            return {row["_id"]: _claim(row) for row in self._claims.find(wanted, max_time_ms=self._timeout_ms)}

    def forget(self, record_ids: Iterable[str], before: datetime) -> None:
        """Removes those of `record_ids` that have expired and that the database has not removed yet."""
        with database_errors(writing=True):
            self._claims.delete_many({"_id": {"$in": list(record_ids)}, "expire_at": {"$lte": before}})

    def add(self, claims: Sequence[IdempotencyRecord]) -> list[bool]:
        """Stores new claims; False for each that another writer has stored first."""
        if not claims:
            return []
        added = [True] * len(claims)
        with database_errors(writing=True):
            failures = insert_each(self._claims, [_row(claim) for claim in claims])
        for failure in failures:
            if failure.code != DUPLICATE_KEY:
                raise translate_write(failure)
            added[failure.index] = False
        return added

    def complete(self, stored: Sequence[tuple[str, Sequence[str]]]) -> None:
        """Notes for each (record_id, event_ids) that its work is done and what it stored."""
        if not stored:
            return
        writes = [
            UpdateOne({"_id": record_id}, {"$set": {"stored": list(event_ids)}}) for record_id, event_ids in stored
        ]
        with database_errors(writing=True):
            self._claims.bulk_write(writes, ordered=False)


def _row(claim: IdempotencyRecord) -> dict[str, Any]:
    return {
        "_id": claim.record_id,
        "digest": claim.digest,
        "planned": [[object_id_of(object_id), event_id] for object_id, event_id in claim.planned],
        "expire_at": claim.expire_at,
    }


def _claim(row: dict[str, Any]) -> IdempotencyRecord:
    stored = row.get("stored")
    return IdempotencyRecord(
        record_id=row["_id"],
        digest=row["digest"],
        planned=tuple((str(object_id), event_id) for object_id, event_id in row["planned"]),
        expire_at=row["expire_at"],
        stored=None if stored is None else tuple(stored),
    )
