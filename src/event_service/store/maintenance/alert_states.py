"""Find conditions and alerts that disagree, and repair them.

A condition is open exactly if one of its alerts is not RESOLVED, and then that is the alert of its row. Services keep
it so, since they write both in one transaction; versions that did not, and a restored backup of a running service, may
break it. Alerts of an upstream database that no condition has taken over are left alone.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from event_service.model.condition import AlertState, Condition, Resolution, ResolutionReason, alert_reference
from event_service.store.alerts import AlertStore
from event_service.store.client import Database
from event_service.store.conditions import ConditionStore
from event_service.store.object_ids import object_id_of
from event_service.store.transaction import Conflict, Session, transaction

_BATCH = 200  # conditions of one transaction
_ATTEMPTS = 20


class Disagreements(NamedTuple):
    """Numbers of what disagrees.

    Attributes:
        conditions: open, although their alert is RESOLVED or missing.
        alerts: not RESOLVED, although their condition is closed or has another alert.
    """

    conditions: int = 0
    alerts: int = 0


def find(database: Database, timeout_ms: int) -> Disagreements:
    """Count what disagrees. Reads all conditions.

    Raises:
        EventServiceError: the database failed.
    """
    return _sum(_each_batch(database, timeout_ms, repairing=False))


def repair(database: Database, timeout_ms: int) -> Disagreements:
    """Close the conditions and resolve the alerts that disagree, and count them. Services may run.

    Raises:
        EventServiceError: the database failed. Earlier repairs stay; run it again.
    """
    return _sum(_each_batch(database, timeout_ms, repairing=True))


def _sum(batches: Iterator[Disagreements]) -> Disagreements:
    total = Disagreements()
    for one in batches:
        total = Disagreements(total.conditions + one.conditions, total.alerts + one.alerts)
    return total


def _each_batch(database: Database, timeout_ms: int, *, repairing: bool) -> Iterator[Disagreements]:
    conditions, alerts = ConditionStore(database, timeout_ms), AlertStore(database, timeout_ms)
    after = ""
    while True:
        for left in reversed(range(_ATTEMPTS)):
            try:
                with transaction(database) as session:
                    rows = conditions.after(after, _BATCH, session)
                    found = _compare(database, rows, session)
                    if repairing:
                        _repair(conditions, alerts, found, session)
            except Conflict:  # a service has changed one of them
                if not left:
                    raise
            else:
                break
        yield Disagreements(len(found.conditions), len(found.resolutions))
        if len(rows) < _BATCH:
            return
        after = rows[-1].condition_id


class _Found(NamedTuple):
    conditions: list[Condition]
    resolutions: list[Resolution]


def _compare(database: Database, rows: list[Condition], session: Session) -> _Found:
    # The alert after the newest one too: earlier versions could leave it behind.
    own = {alert_reference(row.condition_id, number): row for row in rows for number in range(1, row.generation + 2)}
    taken_over = {row.alert: row for row in rows if row.alert is not None and row.alert not in own}
    states = _states(database, [object_id_of(alert.object_id) for alert in own], session)
    by_alert_id = _upstream_states(database, [alert.alert_id for alert in taken_over], session)
    found = _Found([], [])
    for alert, row in (*own.items(), *taken_over.items()):
        state = states.get(alert.object_id) if alert in own else by_alert_id.get(alert.alert_id)
        is_current = row.is_open and row.alert == alert
        # Upstream may have stored an event whose alert is missing: its condition counts as open.
        if is_current and (state is AlertState.RESOLVED or (state is None and alert in own)):
            found.conditions.append(row)
        elif not is_current and state not in {None, AlertState.RESOLVED}:
            reason = ResolutionReason.RECOVERED if row.alert == alert else ResolutionReason.SUPERSEDED
            now = datetime.now(UTC)
            at = row.newest_recovery_at or row.newest_alert_at or now
            found.resolutions.append(Resolution(alert, reason, at, now))
    return found


def _states(database: Database, object_ids: list[Any], session: Session) -> Mapping[str, AlertState]:
    rows = database["alert"].find({"_id": {"$in": object_ids}}, {"state": True}, session=session)
    return {str(row["_id"]): _state(row) for row in rows}


def _upstream_states(database: Database, alert_ids: list[str], session: Session) -> Mapping[str, AlertState]:
    if not alert_ids:
        return {}
    rows = database["alert"].find({"alert_id": {"$in": alert_ids}}, {"alert_id": True, "state": True}, session=session)
    return {row["alert_id"]: _state(row) for row in rows}


def _state(row: Mapping[str, Any]) -> AlertState:
    return AlertState.RESOLVED if row.get("state") == AlertState.RESOLVED else AlertState.TRIGGERED


def _repair(conditions: ConditionStore, alerts: AlertStore, found: _Found, session: Session) -> None:
    closed = [row._replace(is_open=False) for row in found.conditions]
    conditions.save(closed, {row.condition_id for row in closed}, session)
    alerts.change((), found.resolutions, session)
