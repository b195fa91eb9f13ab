"""Change one alert and its condition in one transaction, beside the batches of events that change them too.

    alert read, condition read    within the caller's scope
    change decided                by transitions.py
    alert written, condition written
    commit

A batch that has read either of them meanwhile conflicts, and is decided again; so is the change.
"""

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias, TypeVar

from event_service.alerts.transitions import AlertChange, detach
from event_service.errors import NotFound, Unavailable
from event_service.events.alert_rate_limit import suppressing_condition_id
from event_service.events.alert_rules import condition_id_of, effective_time
from event_service.events.committer import OnResolved
from event_service.model.condition import Alert, AlertState, Condition, alert_reference
from event_service.model.scope import Scope
from event_service.store.alerts import AlertStore, StoredAlert
from event_service.store.conditions import ConditionStore
from event_service.store.driver_errors import WriteRefused
from event_service.store.event_writer import EventWriter
from event_service.store.transaction import Conflict, Session

_ATTEMPTS = 32
_LONGEST_PAUSE = 0.032  # seconds between two attempts
_RETRY_AFTER = 0.5  # seconds

_jitter = random.SystemRandom()

Decide: TypeAlias = Callable[[StoredAlert, Condition | None], AlertChange]
"""Returns the change of an alert and its condition; may be called several times, and raise EventServiceErrors."""

Result = TypeVar("Result")


class AlertChanges:
    """Changes of single alerts. Blocking: for worker threads.

    Args:
        transaction: opens a transaction; see `store/transaction.py`.
        on_resolved: called with the end of each alert, once it is stored.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractContextManager[Session]],
        alerts: AlertStore,
        conditions: ConditionStore,
        events: EventWriter,
        on_resolved: OnResolved = lambda _: None,
    ) -> None:
        self._transaction = transaction
        self._alerts = alerts
        self._conditions = conditions
        self._events = events
        self._on_resolved = on_resolved

    def create(self, alert: Alert) -> None:
        """Store an alert that a person has created.

        Raises:
            Unavailable: the database failed.
        """
        self._alerts.insert(alert)

    def change(self, scope: Scope, alert_id: str, now: datetime, decide: Decide) -> AlertChange:
        """Change an alert, and return the change.

        Args:
            now: its new updated_at, aware UTC.

        Raises:
            NotFound: not found in this scope.
            EventServiceError: of `decide`, or the database failed.
        """

        def work(session: Session) -> AlertChange:
            stored = self._found(scope, alert_id, session)
            condition, known = self._condition_of(stored, session)
            change = decide(stored, condition)
            if change.resolution is not None:
                change = replace(change, resolution=change.resolution._replace(opened_at=stored.created_at))
            if change:
                self._alerts.update(stored.reference, now, change.fields, change.resolution, session)
            if change.condition is not None:
                self._save(change.condition, known, session)
            return change

        change = self._attempt(work)
        if change.resolution is not None:
            self._on_resolved(change.resolution)
        return change

    def delete(self, scope: Scope, alert_id: str) -> None:
        """Delete an alert, and its id from its events.

        Raises:
            NotFound: not found in this scope.
            Unavailable: the database failed. The alert may be left, and can be deleted again.
        """
        # The condition first, so that no more events join; the alert last, so that a retry finds it.
        self._attempt(lambda session: self._detach(scope, alert_id, session))
        self._events.remove_alert(scope.domain_id, alert_id)
        self._alerts.delete(scope, alert_id)

    def _detach(self, scope: Scope, alert_id: str, session: Session) -> None:
        stored = self._found(scope, alert_id, session)
        condition, known = self._condition_of(stored, session)
        detached = detach(stored.reference, condition)
        if detached is not None:
            self._save(detached, known, session)

    def _found(self, scope: Scope, alert_id: str, session: Session) -> StoredAlert:
        stored = self._alerts.find(scope, alert_id, session)
        if stored is None:
            raise NotFound("alert_id", alert_id)
        return stored

    def _save(self, condition: Condition, known: bool, session: Session) -> None:
        self._conditions.save([condition], {condition.condition_id} if known else (), session)

    def _condition_of(self, stored: StoredAlert, session: Session) -> tuple[Condition | None, bool]:
        """Return the condition of an alert and whether its row exists; None for no condition.

        Alerts name their condition; those of earlier versions and of upstream do so only after `db migrate`. Theirs is
        the one of their newest event.
        """
        if stored.condition_id is not None:
            rows = self._conditions.find([stored.condition_id], session) if stored.condition_id else {}
            return rows.get(stored.condition_id), True
        alert = stored.reference
        key = self._events.key_of_alert(alert.alert_id)
        if key is None:  # its events have expired
            return self._conditions.of_alert(alert.alert_id, session), True
        condition_id = condition_id_of(*key)
        rows = self._conditions.find([condition_id, suppressing_condition_id(key)], session)
        for row in rows.values():
            own = (alert_reference(row.condition_id, number) for number in range(row.generation, 0, -1))
            if (row.alert is not None and row.alert.alert_id == alert.alert_id) or alert in own:
                return row, True
        newest = self._events.newest_alerts([key]).get(key)
        if rows or newest is None or newest.alert.alert_id != alert.alert_id:
            return None, True
        # No service has written an event of this key yet, so that the row has to take over the alert here.
        return (
            Condition(
                condition_id,
                key.webhook_id,
                key.event_key,
                alert=newest.alert,
                is_open=stored.state is not AlertState.RESOLVED,
                alert_received_at=newest.created_at,
                newest_alert_at=effective_time(newest.occurred_at, newest.created_at),
            ),
            False,
        )

    def _attempt(self, work: Callable[[Session], Result]) -> Result:
        disconnected = 0
        for attempt in range(_ATTEMPTS):
            try:
                with self._transaction() as session:
                    return work(session)
            except WriteRefused:  # a batch has stored the row of the condition first
                pass
            except Conflict as conflict:
                disconnected += conflict.disconnected
                if disconnected > 1:
                    raise Unavailable(retry_after=_RETRY_AFTER) from conflict
            time.sleep(_jitter.uniform(0, min(0.001 * 2**attempt, _LONGEST_PAUSE)))
        raise Unavailable("Events of the same alert arrive all the time; send again.", retry_after=_RETRY_AFTER)
