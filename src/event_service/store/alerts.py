"""The `alert` collection, with upstream's field names. Alerts are opened and closed here and nothing else."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from event_service.model.condition import Alert, AlertState, Resolution
from event_service.model.scope import Scope
from event_service.store.bulk import insert_each
from event_service.store.client import Database, caller_query
from event_service.store.compile import compile_scope
from event_service.store.driver_errors import DUPLICATE_KEY, database_errors, translate_write
from event_service.store.object_ids import object_id_of

COLLECTION = "alert"


class AlertStore:
    """Writes alerts; which alert is opened or closed is decided in `events/alert_rules.py`."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._alerts = database[COLLECTION]
        self._timeout_ms = timeout_ms

    def open(self, alerts: Sequence[Alert]) -> None:
        """Stores new alerts. One that is there already was opened by another replica, or before a crash: the same."""
        if not alerts:
            return
        with database_errors(writing=True):
            failures = insert_each(self._alerts, [_document(alert) for alert in alerts])
        for failure in failures:
            if failure.code != DUPLICATE_KEY:
                raise translate_write(failure)

    def close(self, resolutions: Sequence[Resolution]) -> None:
        """Resolves alerts. Resolution one twice changes nothing."""
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
        with database_errors(writing=True):
            self._alerts.bulk_write(writes, ordered=False)

    def states(self, alert_ids: Iterable[str]) -> dict[str, tuple[AlertState, datetime | None]]:
        """State and resolved_at of the stored alerts among `alert_ids`.

        An upstream database may hold anything. What is not RESOLVED is open, so that a recovery can still end it.
        """
        wanted = {"alert_id": {"$in": list(alert_ids)}}
        fields = {"_id": False, "alert_id": True, "state": True, "resolved_at": True}
        with database_errors():
            return {
                row["alert_id"]: (_state(row.get("state")), _date(row.get("resolved_at")))
                for row in self._alerts.find(wanted, fields, max_time_ms=self._timeout_ms)
            }

    def state(self, scope: Scope, alert_id: str) -> AlertState | None:
        """State of one alert; None where there is none of that name in the scope. See `states`.

        Raises:
            DeadlineExceeded, Unavailable: the database.
        """
        wanted = {"alert_id": alert_id, **compile_scope(scope)}
        with caller_query(self._timeout_ms):
            row = self._alerts.find_one(wanted, {"_id": False, "state": True}, max_time_ms=self._timeout_ms)
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
