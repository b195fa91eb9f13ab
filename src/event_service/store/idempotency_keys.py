"""The `idempotency_key` collection: one record per idempotency key, with an expiry.

A record is written in the transaction of its events, so one exists only if they were stored. A create that is too large
for one transaction has an incomplete record between two of them, and goes on where that says.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from event_service.store.bulk import insert_all
from event_service.store.client import Database
from event_service.store.transaction import Session

COLLECTION = "idempotency_key"


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """The record of one idempotency key of a webhook, or of one event identity in a project.

    Attributes:
        record_id: digest of webhook and key, or of project and identity.
        digest: digest of the payload; the same key with another payload is refused. "" accepts any payload.
        stored: event_ids that were stored.
        done: number of its events that were decided, if that is not all; else None.
    """

    record_id: str
    digest: str
    expire_at: datetime
    stored: tuple[str, ...]
    done: int | None = None


class IdempotencyStore:
    """Reads and writes idempotency records in the transaction of a batch."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._records = database[COLLECTION]
        self._timeout_ms = timeout_ms

    def find(self, record_ids: Iterable[str], now: datetime, session: Session) -> dict[str, IdempotencyRecord]:
        """Return the records that have not expired, by record_id, and delete the others.

        The TTL index deletes only once a minute.
        """
        wanted = {"_id": {"$in": list(record_ids)}}
        rows = self._records.find(wanted, max_time_ms=self._timeout_ms, session=session)
        known = [_record(row) for row in rows]
        if expired := [record.record_id for record in known if record.expire_at <= now]:
            self._records.delete_many({"_id": {"$in": expired}}, session=session)
        return {record.record_id: record for record in known if record.expire_at > now}

    def save(self, records: Sequence[IdempotencyRecord], known: Collection[str], session: Session) -> None:
        """Write records.

        Args:
            known: record_ids of those that exist, incomplete.

        Raises:
            WriteRefused: a record that is not in `known` exists.
        """
        for record in records:
            if record.record_id in known:
                self._records.replace_one({"_id": record.record_id}, _row(record), session=session)
        insert_all(self._records, [_row(record) for record in records if record.record_id not in known], session)


def _row(record: IdempotencyRecord) -> dict[str, Any]:
    return {
        "_id": record.record_id,
        "digest": record.digest,
        "expire_at": record.expire_at,
        "stored": list(record.stored),
        "done": record.done,
    }


def _record(row: dict[str, Any]) -> IdempotencyRecord:
    return IdempotencyRecord(row["_id"], row["digest"], row["expire_at"], tuple(row["stored"]), row["done"])
