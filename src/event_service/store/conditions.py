"""The `condition` collection: one row per condition, written by compare-and-set on `version`."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ReplaceOne, UpdateOne
from pymongo.errors import BulkWriteError

from event_service.model.condition import AlertReference, Condition, Resolution, ResolutionReason
from event_service.store.bulk import insert_each
from event_service.store.client import Database
from event_service.store.driver_errors import (
    DUPLICATE_KEY,
    WriteFailure,
    database_errors,
    translate_write,
    write_errors,
)
from event_service.store.object_ids import object_id_of

COLLECTION = "condition"


class ConditionStore:
    """Reads and writes rows as `events/alert_rules.py` decides."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._rows = database[COLLECTION]
        self._timeout_ms = timeout_ms

    def find(self, condition_ids: Iterable[str]) -> dict[str, Condition]:
        """Return the rows that exist, by condition_id."""
        with database_errors():
            rows = self._rows.find({"_id": {"$in": list(condition_ids)}}, max_time_ms=self._timeout_ms)
            return {row["_id"]: _condition(row) for row in rows}

    def save(self, conditions: Sequence[Condition]) -> list[bool]:
        """Write each row if its stored version is still the one that was read.

        Args:
            conditions: new contents, with the `version` that was read; 0 for a row that did not exist.

        Returns:
            For each row, whether it was written; False if another writer was first: read it again.

        Raises:
            EventServiceError: the database failed.
        """
        if not conditions:
            return []
        new = [index for index, row in enumerate(conditions) if not row.version]
        known = [index for index, row in enumerate(conditions) if row.version]
        written = [True] * len(conditions)
        with database_errors(writing=True):
            for indexes, write in ((new, self._insert), (known, self._replace)):
                for failure in write([conditions[index] for index in indexes]) if indexes else ():
                    if failure.code != DUPLICATE_KEY:
                        raise translate_write(failure)
                    written[indexes[failure.index]] = False
        return written

    def _insert(self, conditions: Sequence[Condition]) -> list[WriteFailure]:
        return insert_each(self._rows, [_row(row) for row in conditions])

    def _replace(self, conditions: Sequence[Condition]) -> list[WriteFailure]:
        # An upsert that misses because of the version collides with the row's _id: so a bulk write reports, per row,
        # that another writer was first.
        writes = [
            ReplaceOne({"_id": row.condition_id, "version": row.version}, _row(row), upsert=True) for row in conditions
        ]
        try:
            self._rows.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            return write_errors(error)
        return []

    def settle(self, conditions: Sequence[Condition]) -> None:
        """Remove the `resolutions` of each row, after they were carried out.

        A row with another version is left alone: the writer of a row takes over its resolutions.
        """
        if not conditions:
            return
        writes = [
            UpdateOne(
                {"_id": row.condition_id, "version": row.version},
                {
                    "$set": {"resolutions": [], "open": row.is_open},
                    "$inc": {"version": 1},  # a concurrent writer that read the resolutions must lose
                    "$unset": {"pending_since": ""},
                },
            )
            for row in conditions
        ]
        with database_errors(writing=True):
            self._rows.bulk_write(writes, ordered=False)

    def pending(self, before: datetime, limit: int = 1000) -> list[Condition]:
        """Return rows whose resolutions were decided before a time and not carried out, as after a crash."""
        with database_errors():
            rows = self._rows.find({"pending_since": {"$lt": before}}, max_time_ms=self._timeout_ms).limit(limit)
            return [_condition(row) for row in rows]


def _row(condition: Condition) -> dict[str, Any]:
    row: dict[str, Any] = {
        "_id": condition.condition_id,
        "webhook_id": condition.webhook_id,
        "event_key": condition.event_key,
        "version": condition.version + 1,
        "generation": condition.generation,
        "alert": _alert_value(condition.alert),
        "open": condition.is_open,
        "alert_received_at": condition.alert_received_at,
        "newest_alert_at": condition.newest_alert_at,
        "newest_recovery_at": condition.newest_recovery_at,
        "was_firing": condition.was_firing,
        "resolutions": [
            {
                "alert": _alert_value(resolution.alert),
                "reason": resolution.reason.value,
                "event": object_id_of(resolution.event_object_id),
                "at": resolution.at,
            }
            for resolution in condition.resolutions
        ],
    }
    if condition.resolutions:
        row["pending_since"] = condition.pending_since
    return row


def _condition(row: dict[str, Any]) -> Condition:
    return Condition(
        condition_id=row["_id"],
        webhook_id=row["webhook_id"],
        event_key=row["event_key"],
        version=row["version"],
        generation=row["generation"],
        alert=_alert(row["alert"]),
        is_open=row["open"],
        alert_received_at=row["alert_received_at"],
        newest_alert_at=row["newest_alert_at"],
        newest_recovery_at=row["newest_recovery_at"],
        was_firing=row["was_firing"],
        resolutions=tuple(
            Resolution(
                alert=AlertReference(_hex(resolution["alert"]["id"]), resolution["alert"]["alert_id"]),
                reason=ResolutionReason(resolution["reason"]),
                event_object_id=str(resolution["event"]),
                at=resolution["at"],
            )
            for resolution in row["resolutions"]
        ),
        pending_since=row.get("pending_since"),
    )


def _alert_value(alert: AlertReference | None) -> dict[str, Any] | None:
    if alert is None:
        return None
    return {"id": object_id_of(alert.object_id) if alert.object_id else None, "alert_id": alert.alert_id}


def _alert(value: dict[str, Any] | None) -> AlertReference | None:
    return None if value is None else AlertReference(_hex(value["id"]), value["alert_id"])


def _hex(object_id: ObjectId | None) -> str:
    return "" if object_id is None else str(object_id)
