"""The `alert` collection, as batches of events write it: see `events/committer.py`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from event_service.model.condition import (
    MOST_RESOURCES,
    Alert,
    AlertActivity,
    AlertReference,
    AlertState,
    RateReport,
    Resolution,
)
from event_service.model.scope import Scope
from event_service.store.alert_documents import (
    CONDITION_ID,
    EVENT_COUNT,
    LAST_EVENT_AT,
    RATE_MINUTE,
    RATE_REPORT,
    alert_document,
    rate_minute_of,
    resource_documents,
    resource_names,
)
from event_service.store.alert_numbers import AlertNumbers
from event_service.store.bulk import insert_all, update_all
from event_service.store.client import Database
from event_service.store.compile import compile_scope
from event_service.store.driver_errors import database_errors
from event_service.store.object_ids import object_id_of
from event_service.store.transaction import Session

COLLECTION = "alert"


class StoredAlert(NamedTuple):
    """The stored state on which a change of an alert is decided.

    Attributes:
        condition_id: "" for an alert without condition; None if unknown, as of earlier versions and of upstream.
        last_event_at: when its newest event was received; None if unknown, or without events.
        rate_report: not stored yet; None for none.
    """

    reference: AlertReference
    state: AlertState
    condition_id: str | None
    created_at: datetime | None
    last_event_at: datetime | None
    event_count: int = 0
    rate_report: RateReport | None = None


class AlertStore:
    """Writes alerts: batches of events as `events/alert_rules.py` decides, and single ones as `alerts/` does."""

    def __init__(self, database: Database, timeout_ms: int) -> None:
        self._alerts = database[COLLECTION]
        self._numbers = AlertNumbers(database, timeout_ms)
        self._timeout_ms = timeout_ms

    def open(self, alerts: Sequence[Alert], session: Session) -> None:
        """Store new alerts, each with the event that opens it.

        Raises:
            WriteRefused: the `_id` of an alert exists: see `remove`.
        """
        insert_all(self._alerts, list(map(alert_document, alerts, self._numbers_for(alerts))), session)

    def _numbers_for(self, alerts: Sequence[Alert]) -> Sequence[int]:
        owners = Counter([(alert.domain_id, alert.workspace_id) for alert in alerts])
        if len(owners) == 1:
            return self._numbers.take(*next(iter(owners)), len(alerts))
        numbers = {owner: iter(self._numbers.take(*owner, count)) for owner, count in owners.items()}
        return [next(numbers[alert.domain_id, alert.workspace_id]) for alert in alerts]

    def remove(self, object_id: str, session: Session) -> None:
        """Remove an alert that an earlier version stored without its condition, before `open` stores it again."""
        self._alerts.delete_one({"_id": object_id_of(object_id)}, session=session)

    def change(self, activities: Iterable[AlertActivity], resolutions: Sequence[Resolution], session: Session) -> None:
        """Add events to alerts, and resolve alerts. An alert that is RESOLVED is not resolved again."""
        writes = [(_identity(activity.alert), _addition(activity)) for activity in activities]
        writes += [
            ({**_identity(one.alert), "state": {"$ne": AlertState.RESOLVED.value}}, resolution_update(one))
            for one in resolutions
        ]
        update_all(self._alerts, writes, session)

    def runs(self, alerts: Iterable[AlertReference], session: Session) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Return severity and resources of the alerts that exist, by alert_id."""
        matching = {"alert_id": {"$in": [alert.alert_id for alert in alerts]}}
        fields = {"_id": False, "alert_id": True, "severity": True, "resources": True}
        rows = self._alerts.find(matching, fields, max_time_ms=self._timeout_ms, session=session)
        return {row["alert_id"]: (str(row.get("severity") or ""), _names(row.get("resources"))) for row in rows}

    def count_in_minute(self, webhook_id: str, minute: datetime, session: Session | None = None) -> int:
        """Return how many alerts that a webhook opened in a minute its alert rate limit counts.

        Args:
            minute: its start, aware UTC.
        """
        # No other condition: with more, the planner may prefer an index of all alerts of the domain.
        matching = {RATE_MINUTE: rate_minute_of(webhook_id, minute)}
        return self._alerts.count_documents(matching, maxTimeMS=self._timeout_ms, session=session)

    def insert(self, alert: Alert) -> None:
        """Store an alert that belongs to no batch.

        Raises:
            Unavailable: the database failed.
        """
        (number,) = self._numbers_for([alert])
        with database_errors(writing=True):
            self._alerts.insert_one(alert_document(alert, number))

    def find(self, scope: Scope, alert_id: str, session: Session) -> StoredAlert | None:
        """Return an alert of the scope, or None."""
        row = self._alerts.find_one(
            {"alert_id": alert_id, **compile_scope(scope)}, max_time_ms=self._timeout_ms, session=session
        )
        if row is None:
            return None
        return StoredAlert(
            reference=AlertReference(str(row["_id"]), alert_id),
            state=_state(row.get("state")),
            condition_id=row.get(CONDITION_ID),
            created_at=_date(row.get("created_at")),
            last_event_at=_date(row.get(LAST_EVENT_AT)),
            event_count=row.get(EVENT_COUNT, 0),
            rate_report=RateReport(**report) if (report := row.get(RATE_REPORT)) else None,
        )

    def update(
        self,
        alert: AlertReference,
        now: datetime,
        fields: Mapping[str, Any],
        resolution: Resolution | None,
        session: Session,
    ) -> None:
        """Set fields of an alert, and resolve it."""
        update = resolution_update(resolution) if resolution else {}
        changes = {**update.get("$set", {}), **fields}
        self._alerts.update_one(_identity(alert), {"$set": changes, "$max": {"updated_at": now}}, session=session)

    def delete(self, scope: Scope, alert_id: str) -> None:
        """Delete an alert of the scope.

        Raises:
            Unavailable: the database failed.
        """
        with database_errors(writing=True):
            self._alerts.delete_one({"alert_id": alert_id, **compile_scope(scope)})

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


def _state(value: Any) -> AlertState:
    return AlertState(value) if isinstance(value, str) and value in set(AlertState) else AlertState.TRIGGERED


def _date(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None


def resolution_update(resolution: Resolution) -> dict[str, Any]:
    """Return the update of an alert that ends."""
    return {
        "$set": {
            "state": AlertState.RESOLVED.value,
            "resolved_at": resolution.at,
            "resolved_by": resolution.reason.value,
            "escalation_ttl": 0,
        },
        # Not `at`, which the sender's clock gives: Watch follows updated_at.
        "$max": {"updated_at": resolution.received_at},
    }


def _identity(alert: AlertReference) -> dict[str, Any]:
    return {"_id": object_id_of(alert.object_id)} if alert.object_id else {"alert_id": alert.alert_id}


def _names(resources: Any) -> tuple[str, ...]:
    return tuple(resource_names(resources)[:MOST_RESOURCES])


def _addition(activity: AlertActivity) -> dict[str, Any]:
    at = activity.last_event_at
    update: dict[str, Any] = {"$inc": {EVENT_COUNT: activity.events}, "$max": {LAST_EVENT_AT: at, "updated_at": at}}
    if changed := _run(activity):
        update["$set"] = changed
    return update


def _run(activity: AlertActivity) -> dict[str, Any]:
    run: dict[str, Any] = {}
    if activity.severity is not None:
        run["severity"] = activity.severity
    if activity.resources is not None:
        run["resources"] = resource_documents(activity.resources)
    return run
