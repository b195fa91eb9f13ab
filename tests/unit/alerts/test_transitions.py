"""Transitions of one alert and its condition."""

from datetime import UTC, datetime, timedelta

import pytest

from event_service.alerts.transitions import acknowledge, detach, expire, reopen, resolve
from event_service.errors import InvalidArgument
from event_service.model.condition import AlertState, Condition, ResolutionReason, alert_reference

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EARLIER, LATER = NOON - timedelta(hours=1), NOON + timedelta(hours=1)
ALERT = alert_reference("c", 1)
OPEN = Condition("c", "w", "k", generation=1, alert=ALERT, is_open=True, alert_received_at=EARLIER)
CLOSED = OPEN._replace(is_open=False, newest_recovery_at=EARLIER)
NEWER = OPEN._replace(generation=2, alert=alert_reference("c", 2))
TRIGGERED, ACKNOWLEDGED = AlertState.TRIGGERED, AlertState.ACKNOWLEDGED
RESOLVED, ERROR = AlertState.RESOLVED, AlertState.ERROR


@pytest.mark.parametrize("state", [TRIGGERED, ACKNOWLEDGED, ERROR])
def test_resolving_closes_the_condition_like_a_recovery(state: AlertState) -> None:
    change = resolve(ALERT, state, OPEN, NOON, "kim")
    assert change.resolution is not None
    assert (change.resolution.reason, change.resolution.at) == (ResolutionReason.MANUAL, NOON)
    assert change.fields == {"responder": "kim"}
    assert change.condition == OPEN._replace(is_open=False, newest_recovery_at=NOON)


def test_resolving_keeps_a_later_recovery() -> None:
    change = resolve(ALERT, TRIGGERED, OPEN._replace(newest_recovery_at=LATER), NOON, "kim")
    assert change.condition is not None
    assert change.condition.newest_recovery_at == LATER


@pytest.mark.parametrize("condition", [None, NEWER])
def test_resolving_leaves_other_conditions_alone(condition: Condition | None) -> None:
    change = resolve(ALERT, TRIGGERED, condition, NOON, "kim")
    assert change
    assert change.condition is None


def test_resolved_alert_is_not_resolved_again() -> None:
    assert not resolve(ALERT, RESOLVED, CLOSED, NOON, "kim")
    assert not expire(ALERT, RESOLVED, CLOSED, NOON)


def test_alert_without_news_closes_its_condition_without_a_recovery() -> None:
    change = expire(ALERT, ACKNOWLEDGED, OPEN, NOON)
    assert change.resolution is not None
    assert change.resolution.reason is ResolutionReason.NO_NEWS
    assert change.condition == OPEN._replace(is_open=False)


def test_acknowledging() -> None:
    fields = {"state": "ACKNOWLEDGED", "acknowledged_at": NOON, "responder": "kim"}
    assert acknowledge(TRIGGERED, NOON, "kim").fields == fields
    assert "state" not in acknowledge(ERROR, NOON, "kim").fields
    assert not acknowledge(ACKNOWLEDGED, NOON, "lee")
    with pytest.raises(InvalidArgument) as caught:
        acknowledge(RESOLVED, NOON, "kim")
    assert caught.value.violations[0].field == "state"


def test_reopening_opens_the_condition() -> None:
    change = reopen(ALERT, RESOLVED, CLOSED, NOON, "kim")
    assert change.fields["state"] == "TRIGGERED"
    assert change.fields["resolved_at"] is None
    assert change.condition == CLOSED._replace(is_open=True, alert_received_at=NOON, newest_recovery_at=None)


def test_reopening_an_open_alert_takes_back_the_acknowledgement() -> None:
    assert reopen(ALERT, ACKNOWLEDGED, OPEN, NOON, "kim").fields["state"] == "TRIGGERED"
    assert "state" not in reopen(ALERT, ERROR, OPEN, NOON, "kim").fields
    assert not reopen(ALERT, TRIGGERED, OPEN, NOON, "kim")


@pytest.mark.parametrize("condition", [NEWER, NEWER._replace(is_open=False), CLOSED._replace(alert=None)])
def test_alert_before_the_newest_of_its_condition_is_not_reopened(condition: Condition) -> None:
    with pytest.raises(InvalidArgument) as caught:
        reopen(ALERT, RESOLVED, condition, NOON, "kim")
    assert caught.value.violations[0].field == "state"


def test_deleting_detaches_the_condition() -> None:
    assert detach(ALERT, OPEN) == OPEN._replace(is_open=False, alert=None)
    assert detach(ALERT, NEWER) is None
    assert detach(ALERT, None) is None
