"""The alert rules, one promise per test."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service.events.alert_rules import (
    AlertRules,
    Decision,
    condition_id_of,
    decide,
    rules_of,
    urgency_of,
)
from event_service.model.condition import AlertState, Condition, ResolutionReason, Urgency, alert_reference
from event_service.model.event import EventDraft, EventType, Severity

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RULES = AlertRules(duplicate_event_time=timedelta(seconds=600))


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


class History:
    """A condition and what has happened to it."""

    def __init__(self, rules: AlertRules = RULES) -> None:
        self.condition = Condition("c" * 32, "webhook-1", "key")
        self.rules = rules

    def send(self, event_type: EventType, received: float, occurred: float | None = None, **more: bool) -> Decision:
        draft = EventDraft("key", event_type, occurred_at=None if occurred is None else at(occurred), **more)
        self.condition, decision = decide(self.condition, draft, at(received), self.rules)
        return decision

    def alert(self, received: float, occurred: float | None = None, **more: bool) -> Decision:
        return self.send(EventType.ALERT, received, occurred, **more)

    def recovery(self, received: float, occurred: float | None = None, **more: bool) -> Decision:
        return self.send(EventType.RECOVERY, received, occurred, **more)


def test_first_alert_opens_an_alert() -> None:
    decision = History().alert(0)
    assert decision.opens is AlertState.TRIGGERED
    assert decision.alert == alert_reference("c" * 32, 1)


def test_error_event_opens_an_alert_in_state_error() -> None:
    assert History().send(EventType.ERROR, 0).opens is AlertState.ERROR


@pytest.mark.parametrize(("seconds", "joins"), [(0, True), (600, True), (600.001, False)])
def test_alerts_join_until_600_s_after_the_newest_was_received(seconds: float, joins: bool) -> None:
    history = History()
    first = history.alert(0)
    second = history.alert(seconds)
    assert (second.alert == first.alert) is joins
    assert (second.opens is None) is joins


def test_join_window_restarts_with_each_alert() -> None:
    history = History()
    first = history.alert(0)
    assert history.alert(500).alert == history.alert(1000).alert == first.alert


def test_join_window_uses_time_of_receipt() -> None:
    history = History()
    first = history.alert(0, occurred=-100_000)
    assert history.alert(10, occurred=-5).alert == first.alert


def test_alert_after_the_window_supersedes_the_open_one() -> None:
    history = History()
    first = history.alert(0)
    second = history.alert(601)
    assert second.resolution is not None
    assert second.resolution[:2] == (first.alert, ResolutionReason.SUPERSEDED)
    assert history.condition.is_open


def test_recovery_resolves_alerts_of_any_age() -> None:
    history = History()
    first = history.alert(0)
    decision = history.recovery(1_000_000)
    assert decision.alert == first.alert
    assert decision.resolution is not None
    assert not history.condition.is_open


def test_alert_after_a_recovery_opens_another() -> None:
    history = History()
    first = history.alert(0)
    history.recovery(1)
    assert history.alert(2).alert != first.alert


def test_unmatched_recovery_is_remembered_but_not_stored() -> None:
    history = History()
    decision = history.recovery(10)
    assert not decision.stored
    assert decision.alert is None
    assert history.alert(11, occurred=5).opens is AlertState.RESOLVED


def test_second_recovery_is_not_stored() -> None:
    history = History()
    history.alert(0)
    history.recovery(1)
    assert not history.recovery(2).stored


@pytest.mark.parametrize("rules", [AlertRules(timedelta(seconds=600), store_unmatched_recovery=True), RULES])
def test_unmatched_recovery_is_stored_by_setting_or_always_store(rules: AlertRules) -> None:
    decision = History(rules).recovery(0, always_store=rules is RULES)
    assert decision.stored
    assert decision.alert is None


def test_without_auto_recovery_the_alert_stays_open() -> None:
    history = History(AlertRules(timedelta(seconds=600), auto_recovery=False))
    first = history.alert(0)
    decision = history.recovery(1)
    assert decision.alert == first.alert
    assert decision.resolution is None
    assert history.alert(2).alert == first.alert


def test_recovery_older_than_the_newest_alert_does_not_resolve() -> None:
    history = History()
    first = history.alert(0, occurred=0)
    decision = history.recovery(1, occurred=-1)
    assert decision.alert == first.alert
    assert decision.stored
    assert decision.resolution is None
    assert history.condition.is_open


def test_recovery_with_the_time_of_the_newest_alert_resolves() -> None:
    history = History()
    history.alert(0, occurred=-5)
    assert history.recovery(1, occurred=-5).resolution is not None


def test_alert_older_than_the_newest_recovery_joins_the_newest_alert() -> None:
    history = History()
    first = history.alert(0)
    history.recovery(10)
    decision = history.alert(20, occurred=5)
    assert decision.alert == first.alert
    assert decision.opens is None
    assert not history.condition.is_open


def test_alert_with_the_time_of_its_recovery_opens_another() -> None:
    history = History()
    first = history.alert(0)
    history.recovery(0)
    assert history.alert(0).alert != first.alert


def test_future_times_count_as_five_minutes_after_receipt() -> None:
    history = History()
    history.alert(0, occurred=10_000_000)
    assert history.recovery(299).resolution is None
    assert history.recovery(300).resolution is not None


def test_normal_is_a_recovery_only_if_the_condition_was_firing() -> None:
    history = History()
    assert history.alert(0, recovers_if_troubled=True).event_type is EventType.ALERT
    history.alert(1, marks_trouble=True)
    decision = history.alert(2, recovers_if_troubled=True)
    assert decision.event_type is EventType.RECOVERY
    assert decision.resolution is not None


def test_condition_id_depends_on_every_part() -> None:
    parts = ("webhook", "domain", "workspace", "project", "key")
    names = {condition_id_of(*parts)}
    for index in range(len(parts)):
        names.add(condition_id_of(*(part + "x" if place == index else part for place, part in enumerate(parts))))
    names.add(condition_id_of("webhookdomain", "", "workspace", "project", "key"))
    assert len(names) == 7


@pytest.mark.parametrize("severity", list(Severity))
def test_urgency_follows_severity(severity: Severity) -> None:
    high = severity in {Severity.CRITICAL, Severity.ERROR, Severity.NOT_AVAILABLE}
    assert urgency_of(severity) is (Urgency.HIGH if high else Urgency.LOW)


DEFAULTS = AlertRules(timedelta(seconds=600), alerts_per_minute=7)


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({}, DEFAULTS),
        ({"timezone": "UTC"}, DEFAULTS),
        ({"duplicate_event_time": 1.5}, replace(DEFAULTS, duplicate_event_time=timedelta(seconds=1.5))),
        ({"auto_recovery": False}, replace(DEFAULTS, auto_recovery=False)),
        ({"alerts_per_minute": 100.0}, replace(DEFAULTS, alerts_per_minute=100)),
        ({"alerts_per_minute": 0}, replace(DEFAULTS, alerts_per_minute=0)),
    ],
)
def test_webhook_options_override_settings(options: dict[str, Any], rules: AlertRules) -> None:
    assert rules_of(DEFAULTS, options) == rules


@pytest.mark.parametrize("value", ["5", None, True, -1, float("nan"), float("inf"), 1e300, [], {}])
def test_invalid_options_of_upstream_documents_are_ignored(value: Any) -> None:
    rules = rules_of(DEFAULTS, {"duplicate_event_time": value, "auto_recovery": value})
    assert rules == DEFAULTS
    assert rules_of(DEFAULTS, {"alerts_per_minute": value}).alerts_per_minute in (7, int(1e300))


@pytest.mark.parametrize(("seconds", "opens"), [(1, False), (300, False), (301, True), (4000, True)])
def test_firing_with_the_start_of_a_recovered_alert_opens_another_after_5_min(seconds: float, opens: bool) -> None:
    history = History()
    first = history.alert(0, occurred=0)
    history.recovery(1000, occurred=990)
    again = history.alert(1000 + seconds, occurred=0)
    assert (again.alert != first.alert) is (again.opens is AlertState.TRIGGERED) is opens
    assert history.condition.is_open is opens


def test_alert_that_fires_on_takes_further_firings_and_ends() -> None:
    history = History()
    history.alert(0, occurred=0)
    history.recovery(1000, occurred=1000)
    second = history.alert(1500, occurred=0)
    assert history.alert(1800, occurred=0).alert == second.alert
    resolution = history.recovery(2000, occurred=2000).resolution
    assert resolution is not None
    assert resolution.alert == second.alert


def test_firing_after_a_recovery_that_was_reported_long_after_its_end_opens_another() -> None:
    history = History()
    history.alert(0, occurred=0)
    history.recovery(9000, occurred=5000)
    assert history.alert(9001, occurred=0).opens is AlertState.TRIGGERED


def test_earlier_start_than_the_recovered_alert_stays_outdated() -> None:
    history = History()
    first = history.alert(0, occurred=0)
    history.recovery(1000, occurred=1000)
    assert history.alert(5000, occurred=-60).alert == first.alert


def test_alert_resolved_by_hand_stays_resolved_while_the_firing_repeats() -> None:
    history = History()
    history.alert(0, occurred=0)
    history.recovery(1000, occurred=1000)
    history.condition = history.condition._replace(recovery_received_at=None)
    assert history.alert(1200, occurred=0).opens is None
    assert history.alert(100_000, occurred=0).opens is None
    assert history.alert(100_001, occurred=99_000).opens is AlertState.TRIGGERED


def test_ending_without_a_sender_resolves_or_leaves_no_trace() -> None:
    history = History(replace(RULES, store_unmatched_recovery=True))
    before = history.condition
    assert not history.recovery(0, only_if_open=True).stored
    assert history.condition is before
    history.alert(1)
    decision = history.recovery(2, only_if_open=True)
    assert decision.stored
    assert decision.resolution is not None
