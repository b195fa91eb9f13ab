"""The `condition` collection: one row per condition, read and written in the transaction of a batch."""

from collections.abc import Collection, Iterable
from typing import Any

from bson import ObjectId
from pymongo import ReplaceOne

from event_service.model.condition import AlertReference, Condition
from event_service.store.bulk import insert_all
from event_service.store.client import Database
from event_service.store.object_ids import object_id_of
from event_service.store.transaction import Session

COLLECTION = "condition"


class ConditionStore:
    """Reads and writes rows as `events/alert_rules.py` decides."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._rows = database[COLLECTION]
        self._timeout_ms = timeout_ms

    def find(self, condition_ids: Iterable[str], session: Session) -> dict[str, Condition]:
        """Return the rows that exist, by condition_id."""
        wanted = {"_id": {"$in": list(condition_ids)}}
        rows = self._rows.find(wanted, max_time_ms=self._timeout_ms, session=session)
        return {row["_id"]: _condition(row) for row in rows}

    def of_alert(self, alert_id: str, session: Session) -> Condition | None:
        """Return the row whose newest alert this is. Reads all rows."""
        row = self._rows.find_one({"alert.alert_id": alert_id}, max_time_ms=self._timeout_ms, session=session)
        return None if row is None else _condition(row)

    def after(self, condition_id: str, limit: int, session: Session) -> list[Condition]:
        """Return the rows that follow a condition_id, in its order; at most `limit`."""
        rows = self._rows.find({"_id": {"$gt": condition_id}}, session=session).sort("_id").limit(limit)
        return [_condition(row) for row in rows]

    def save(self, conditions: Iterable[Condition], known: Collection[str], session: Session) -> None:
        """Write rows.

        Args:
            known: condition_ids of the rows that exist; the others are new.

        Raises:
            WriteRefused: a row that is not in `known` exists.
        """
        changed: list[ReplaceOne[dict[str, Any]]] = []
        new: list[dict[str, Any]] = []
        for condition in conditions:
            if condition.condition_id in known:
                changed.append(ReplaceOne({"_id": condition.condition_id}, _row(condition)))
            else:
                new.append(_row(condition))
        if changed:
            self._rows.bulk_write(changed, ordered=False, session=session)
        insert_all(self._rows, new, session)


def _row(condition: Condition) -> dict[str, Any]:
    return {
        "_id": condition.condition_id,
        "webhook_id": condition.webhook_id,
        "event_key": condition.event_key,
        "generation": condition.generation,
        "alert": _alert_value(condition.alert),
        "open": condition.is_open,
        "alert_received_at": condition.alert_received_at,
        "newest_alert_at": condition.newest_alert_at,
        "newest_recovery_at": condition.newest_recovery_at,
        "was_firing": condition.was_firing,
        "recovery_received_at": condition.recovery_received_at,
        "severity": condition.severity,
        "resources": condition.resources,
        "opened_at": condition.opened_at,
    }


def _condition(row: dict[str, Any]) -> Condition:
    return Condition(
        condition_id=row["_id"],
        webhook_id=row["webhook_id"],
        event_key=row["event_key"],
        generation=row["generation"],
        alert=_alert(row["alert"]),
        is_open=row["open"],
        alert_received_at=row["alert_received_at"],
        newest_alert_at=row["newest_alert_at"],
        newest_recovery_at=row["newest_recovery_at"],
        was_firing=row["was_firing"],
        recovery_received_at=row.get("recovery_received_at"),
        severity=row.get("severity", ""),
        resources=tuple(row.get("resources", ())),
        opened_at=row.get("opened_at"),
    )


def _alert_value(alert: AlertReference | None) -> dict[str, Any] | None:
    if alert is None:
        return None
    return {"id": object_id_of(alert.object_id) if alert.object_id else None, "alert_id": alert.alert_id}


def _alert(value: dict[str, Any] | None) -> AlertReference | None:
    return None if value is None else AlertReference(_hex(value["id"]), value["alert_id"])


def _hex(object_id: ObjectId | None) -> str:
    return "" if object_id is None else str(object_id)
