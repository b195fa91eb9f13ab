"""The states that a person, or the want of news, gives to an alert. Pure functions.

A condition is open exactly if one of its alerts is not RESOLVED, and then that is the alert of its row: each function
returns both, to be stored in one transaction. Source: docs/alerts.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from event_service.errors import InvalidArgument
from event_service.model.condition import AlertReference, AlertState, Condition, Resolution, ResolutionReason
from event_service.store.event_writer import NewEvent

SETTABLE = (AlertState.TRIGGERED, AlertState.ACKNOWLEDGED, AlertState.RESOLVED)
"""The states that a caller may set."""


@dataclass(frozen=True, slots=True)
class AlertChange:
    """The changes of an alert and its condition to store.

    Attributes:
        fields: of the alert, by name.
        resolution: the end of the alert.
        condition: the row of its condition, if that changes.
        event: to be stored with it.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    resolution: Resolution | None = None
    condition: Condition | None = None
    event: NewEvent | None = None

    def __bool__(self) -> bool:
        return bool(self.fields) or self.resolution is not None


def resolve(
    alert: AlertReference, state: AlertState, condition: Condition | None, now: datetime, user_id: str
) -> AlertChange:
    """Resolve an alert as a RECOVERY at this moment would. A RESOLVED one does not change."""
    if state is AlertState.RESOLVED:
        return AlertChange()
    closed = _closed(alert, condition)
    if closed is not None:
        newest = closed.newest_recovery_at
        # Without a time of receipt: what the sender repeats does not open it again, see `alert_rules`.
        closed = closed._replace(
            newest_recovery_at=now if newest is None else max(newest, now), recovery_received_at=None
        )
    return AlertChange({"responder": user_id}, Resolution(alert, ResolutionReason.MANUAL, now, now), closed)


def expire(alert: AlertReference, state: AlertState, condition: Condition | None, now: datetime) -> AlertChange:
    """Resolve an alert without news. Whatever the tool sends next is news, also an ALERT that began before."""
    if state is AlertState.RESOLVED:
        return AlertChange()
    return AlertChange(
        resolution=Resolution(alert, ResolutionReason.NO_NEWS, now, now), condition=_closed(alert, condition)
    )


def report(
    alert: AlertReference, state: AlertState, condition: Condition | None, now: datetime, ended_at: datetime
) -> AlertChange:
    """Resolve an alert that stands for the suppressed ones of a minute, as a RECOVERY at the end of it would."""
    if state is AlertState.RESOLVED:
        return AlertChange()
    closed = _closed(alert, condition)
    if closed is not None:
        newest = closed.newest_recovery_at
        closed = closed._replace(
            newest_recovery_at=ended_at if newest is None else max(newest, ended_at), recovery_received_at=now
        )
    return AlertChange(resolution=Resolution(alert, ResolutionReason.RECOVERED, ended_at, now), condition=closed)


def acknowledge(state: AlertState, now: datetime, user_id: str) -> AlertChange:
    """Acknowledge an alert. An alert in state ERROR keeps it.

    Raises:
        InvalidArgument: it is RESOLVED.
    """
    if state is AlertState.RESOLVED:
        raise InvalidArgument.at("state", "the alert is RESOLVED; open it again with TRIGGERED first")
    if state is AlertState.ACKNOWLEDGED:
        return AlertChange()
    kept = {} if state is AlertState.ERROR else {"state": AlertState.ACKNOWLEDGED.value}
    return AlertChange({**kept, "acknowledged_at": now, "responder": user_id})


def reopen(
    alert: AlertReference, state: AlertState, condition: Condition | None, now: datetime, user_id: str
) -> AlertChange:
    """Take back that an alert was acknowledged or resolved. It goes on as if it had an event at this moment.

    Args:
        condition: the row of its condition; None if it has none.

    Raises:
        InvalidArgument: its condition has a newer alert.
    """
    if state is AlertState.TRIGGERED:
        return AlertChange()
    fields: dict[str, Any] = {"acknowledged_at": None, "responder": user_id}
    if state is AlertState.ERROR:
        return AlertChange(fields)
    fields["state"] = AlertState.TRIGGERED.value
    if state is AlertState.ACKNOWLEDGED:
        return AlertChange(fields)
    fields |= {"resolved_at": None, "resolved_by": None}
    if condition is None:
        return AlertChange(fields)
    newest = condition.alert
    if newest is None or newest.alert_id != alert.alert_id:
        newer = f"{newest.alert_id} is" if newest else "its condition has had"
        raise InvalidArgument.at("state", f"cannot be TRIGGERED again: {newer} a newer alert of the same event_key")
    # Without the recovery, or the firing that the tool repeats would not join.
    opened = condition._replace(is_open=True, alert_received_at=now, newest_recovery_at=None, recovery_received_at=None)
    return AlertChange(fields, condition=opened)


def detach(alert: AlertReference, condition: Condition | None) -> Condition | None:
    """Return the row of the condition without an alert that is to be deleted; None if it has another one."""
    if condition is None or condition.alert is None or condition.alert.alert_id != alert.alert_id:
        return None
    return condition._replace(is_open=False, alert=None)


def _closed(alert: AlertReference, condition: Condition | None) -> Condition | None:
    if condition is None or condition.alert is None or condition.alert.alert_id != alert.alert_id:
        return None
    return condition._replace(is_open=False)
