"""The `alert` collection, with upstream's field names. Alerts are only opened and resolved."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from event_service.model.condition import Alert, AlertState, Resolution
from event_service.model.scope import Scope
from event_service.store.bulk import insert_all
from event_service.store.client import Database, caller_query
from event_service.store.compile import compile_scope
from event_service.store.driver_errors import database_errors
from event_service.store.object_ids import object_id_of
from event_service.store.transaction import Session

COLLECTION = "alert"


class AlertStore:
    """Writes alerts as `events/alert_rules.py` decides."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._alerts = database[COLLECTION]
        self._timeout_ms = timeout_ms

    def open(self, alerts: Sequence[Alert], session: Session) -> None:
        """Store new alerts.

        Raises:
            WriteRefused: the `_id` of an alert exists: see `remove`.
        """
        insert_all(self._alerts, [_document(alert) for alert in alerts], session)

    def remove(self, object_id: str, session: Session) -> None:
        """Remove an alert that an earlier version stored without its condition, before `open` stores it again."""
        self._alerts.delete_one({"_id": object_id_of(object_id)}, session=session)

    def close(self, resolutions: Sequence[Resolution], session: Session) -> None:
        """Resolve alerts. An alert that is RESOLVED does not change."""
        if not resolutions:
            return
        writes = [
            UpdateOne(
                {
                    **_identity(resolution.alert.object_id, resolution.alert.alert_id),
                    "state": {"$ne": AlertState.RESOLVED},
                },
                {
                    "$set": {
                        "state": AlertState.RESOLVED.value,
                        "resolved_at": resolution.at,
                        "resolved_by": resolution.reason.value,
                        "updated_at": resolution.at,
                    }
                },
            )
            for resolution in resolutions
        ]
        self._alerts.bulk_write(writes, ordered=False, session=session)

    def states(self, alert_ids: Iterable[str]) -> dict[str, tuple[AlertState, datetime | None]]:
        """Return state and resolved_at of the alerts that exist, by alert_id.

        An unknown state, as an upstream database may hold, becomes TRIGGERED, so that a recovery can resolve it.
        """
        matching = {"alert_id": {"$in": list(alert_ids)}}
        fields = {"_id": False, "alert_id": True, "state": True, "resolved_at": True}
        with database_errors():
            return {
                row["alert_id"]: (_state(row.get("state")), _date(row.get("resolved_at")))
                for row in self._alerts.find(matching, fields, max_time_ms=self._timeout_ms)
            }

    def state(self, scope: Scope, alert_id: str) -> AlertState | None:
        """Return the state of one alert, or None if the scope has no such alert. See `states`.

        Raises:
            Unavailable: the database failed.
        """
        matching = {"alert_id": alert_id, **compile_scope(scope)}
        with caller_query(self._timeout_ms):
            row = self._alerts.find_one(matching, {"_id": False, "state": True}, max_time_ms=self._timeout_ms)
        return None if row is None else _state(row.get("state"))


def _state(value: Any) -> AlertState:
    return AlertState(value) if isinstance(value, str) and value in set(AlertState) else AlertState.TRIGGERED


def _date(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _identity(object_id: str, alert_id: str) -> dict[str, Any]:
    return {"_id": object_id_of(object_id)} if object_id else {"alert_id": alert_id}


def _document(alert: Alert) -> dict[str, Any]:
    return {
        "_id": object_id_of(alert.reference.object_id),
        "alert_id": alert.reference.alert_id,
        "title": alert.title,
        "state": str(alert.state),
        "description": alert.description,
        "urgency": str(alert.urgency),
        "severity": str(alert.severity),
        "rule": alert.rule,
        "image_url": alert.image_url,
        "resources": alert.resources,
        "provider": alert.provider,
        "account": alert.account,
        "triggered_by": alert.webhook_id,
        "webhook_id": alert.webhook_id,
        "project_id": alert.project_id,
        "workspace_id": alert.workspace_id,
        "domain_id": alert.domain_id,
        "created_at": alert.created_at,
        "updated_at": alert.created_at,
        "resolved_at": alert.resolved_at,
    }
