"""Completes alerts of earlier versions and of upstream: number, condition, and the totals of their events.

Runs at `db migrate`, and in the background of a service that finds such alerts at its start. It may be interrupted and
run again, by several processes at a time, also while services run.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from pymongo import UpdateOne

from event_service.concurrency.background_task import BackgroundTask, Stopping
from event_service.model.condition import alert_reference
from event_service.store import indexes
from event_service.store.alert_documents import (
    ALERT_NUMBER,
    CONDITION_ID,
    EVENT_COUNT,
    FIRST_EVENT_AT,
    LAST_EVENT_AT,
    resource_fields,
)
from event_service.store.alert_numbers import AlertNumbers
from event_service.store.bulk import update_all
from event_service.store.client import Database, Document
from event_service.store.driver_errors import database_errors
from event_service.store.object_ids import object_id_of
from event_service.store.transaction import Conflict, Session, transaction

_BATCH = 200
_ATTEMPTS = 20
_INCOMPLETE: Document = {FIRST_EVENT_AT: {"$exists": False}}
_WITHOUT_CONDITION: Document = {CONDITION_ID: {"$exists": False}}
_PROJECTION = {ALERT_NUMBER: True, "alert_id": True, "domain_id": True, "workspace_id": True, "resources": True}


def complete_in_background(database: Database, timeout_ms: int) -> BackgroundTask:
    """Start completing all alerts, with retries."""

    def work(stopping: Stopping) -> None:
        _complete(database, timeout_ms, stopping)

    return BackgroundTask("alert-fields", work)


def complete(database: Database, timeout_ms: int) -> int:
    """Complete all alerts, in the order of their creation; return how many were not complete.

    Raises:
        EventServiceError: the database failed. Earlier writes stay; run it again.
    """
    return _complete(database, timeout_ms, lambda: False)


def _complete(database: Database, timeout_ms: int, stopping: Stopping) -> int:
    with database_errors(writing=True):
        if database[indexes.ALERT].find_one(_INCOMPLETE, {"_id": True}) is None:
            return 0
        updates = _condition_updates(database)
        while not stopping() and (some := list(islice(updates, 1000))):
            database[indexes.ALERT].bulk_write(some, ordered=False)
        numbers = AlertNumbers(database, timeout_ms)
        found = database[indexes.ALERT].find(_INCOMPLETE, _PROJECTION, allow_disk_use=True)
        alerts = iter(found.sort([("created_at", 1), ("_id", 1)]))
        done = 0
        while not stopping() and (batch := list(islice(alerts, _BATCH))):
            _add_fields(database, batch, numbers)
            done += len(batch)
        return done


def _condition_updates(database: Database) -> Iterator[UpdateOne]:
    """Yield the updates that name the condition of each alert. An alert depends on its condition, not the reverse."""
    for row in database[indexes.CONDITION].find({}, {"generation": True, "alert": True}):
        named = {"$set": {CONDITION_ID: row["_id"]}}
        own = {alert_reference(row["_id"], number) for number in range(1, row["generation"] + 1)}
        for alert in own:
            yield UpdateOne({"_id": object_id_of(alert.object_id), **_WITHOUT_CONDITION}, named)
        newest = row["alert"]
        if newest and newest["alert_id"] not in {alert.alert_id for alert in own}:  # taken over from upstream
            yield UpdateOne({"alert_id": newest["alert_id"], **_WITHOUT_CONDITION}, named)


def _add_fields(database: Database, alerts: Sequence[Document], numbers: AlertNumbers) -> None:
    """Number alerts and count their events, in one transaction: an event that joins meanwhile conflicts with it."""
    given = _new_numbers(alerts, numbers)
    for left in reversed(range(_ATTEMPTS)):
        try:
            with transaction(database) as session:
                totals = _totals(database, [_alert_id(alert) for alert in alerts], session)
                updates = [
                    (
                        {"_id": alert["_id"], **_INCOMPLETE},
                        {
                            "$set": {
                                **_fields(alert, totals.get(_alert_id(alert), {})),
                                **given.get(alert["_id"], {}),
                            }
                        },
                    )
                    for alert in alerts
                ]
                update_all(database[indexes.ALERT], updates, session)
        except Conflict:  # a service has changed one of them
            if not left:
                raise
        else:
            return


def _new_numbers(alerts: Sequence[Document], numbers: AlertNumbers) -> dict[Any, Document]:
    """Return a number for each alert without one, by `_id`."""
    without = [alert for alert in alerts if not isinstance(alert.get(ALERT_NUMBER), int)]
    owners = Counter(_owner(alert) for alert in without)
    taken = {owner: iter(numbers.take(*owner, count)) for owner, count in owners.items()}
    return {alert["_id"]: {ALERT_NUMBER: next(taken[_owner(alert)])} for alert in without}


def _alert_id(alert: Document) -> str:
    return str(alert.get("alert_id") or "")


def _owner(alert: Document) -> tuple[str, str]:
    return str(alert.get("domain_id") or ""), str(alert.get("workspace_id") or "")


def _totals(database: Database, alert_ids: list[str], session: Session) -> Mapping[str, Document]:
    group = {
        "_id": "$alert_id",
        EVENT_COUNT: {"$sum": 1},
        FIRST_EVENT_AT: {"$min": "$created_at"},
        LAST_EVENT_AT: {"$max": "$created_at"},
    }
    stages: list[Document] = [{"$match": {"alert_id": {"$in": alert_ids}}}, {"$group": group}]
    return {row.pop("_id"): row for row in database[indexes.EVENT].aggregate(stages, session=session)}


def _fields(alert: Document, totals: Document) -> Document:
    nothing: Document = {EVENT_COUNT: 0, FIRST_EVENT_AT: None}
    return {**nothing, **totals, "resources": resource_fields(alert.get("resources"))}
