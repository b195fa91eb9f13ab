"""Datadog, PagerDuty, Opsgenie, New Relic and Sentry."""

from typing import Any

import pytest

from event_service.model.event import EventType, Severity
from tests.unit.normalize.examples import ABSENT, example, fault_paths, first_event, read


@pytest.mark.parametrize("transition", ["Triggered", "Re-Triggered", "Warn", "Re-Warn", "No Data", "Renotify"])
def test_all_of_datadogs_transitions_but_one_are_alerts(transition: str) -> None:
    assert first_event(example("datadog-triggered", alert_transition=transition)).event_type is EventType.ALERT


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"alert_priority": "P1"}, Severity.CRITICAL),
        ({"alert_priority": "P5"}, Severity.INFO),
        ({"alert_priority": "", "title": "[Triggered] [P2] x"}, Severity.ERROR),
        ({"alert_priority": "", "title": "x", "alert_type": "warning"}, Severity.WARNING),
        ({"alert_priority": "", "title": "x", "alert_type": "", "alert_transition": "No Data"}, Severity.NOT_AVAILABLE),
        ({"alert_priority": "", "title": "x", "alert_type": "", "alert_transition": "Warn"}, Severity.WARNING),
        ({"alert_priority": "$ALERT_PRIORITY", "title": "x", "alert_type": "error"}, Severity.ERROR),
    ],
)
def test_datadogs_priority_else_its_alert_type(changes: dict[str, str], severity: Severity) -> None:
    assert first_event(example("datadog-triggered", **changes)).severity is severity


def test_datadogs_identity_is_the_monitor_and_its_group() -> None:
    key = first_event(example("datadog-triggered")).event_key
    assert first_event(example("datadog-triggered", id="1", alert_cycle_key="x", aggreg_key="x")).event_key == key
    assert first_event(example("datadog-triggered", alert_scope="host:api-4")).event_key != key
    by_aggregation = example("datadog-triggered", alert_id="")
    assert first_event(by_aggregation).event_key not in {
        key,
        first_event(example("datadog-triggered", alert_id="", aggreg_key="")).event_key,
    }


def test_datadogs_default_template_needs_a_title() -> None:
    assert fault_paths(read(example("datadog-default-triggered", title=""))) == ["title"]


def test_environments_in_datadogs_titles_are_not_merged() -> None:
    one, other = (
        first_event(example("datadog-default-triggered", title=f"[Triggered] [{name}] Queue")).event_key
        for name in ("prod", "test")
    )
    assert one != other


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("[TEST] [P3] [Triggered] Queue", "[TEST] Queue"),
        ("[TEST] Queue", "[TEST] Queue"),
        ("[test] [Triggered] Queue", "[test] [Triggered] Queue"),
        ("[TEST] [Triggered] [prod] Queue", "[TEST] [prod] Queue"),
        ("[TEST]", "[TEST]"),
    ],
)
def test_datadogs_test_notifications_keep_their_mark(title: str, plain: str) -> None:
    assert first_event(example("datadog-default-triggered", title=title)).title == plain


def test_pagerduty_routing_key_is_hashed_everywhere() -> None:
    secret = "0123456789abcdef0123456789abcdef"
    for name in ("pagerduty-trigger", "pagerduty-resolve"):
        assert secret not in str(read(example(name)))
    assert secret not in str(read(example("pagerduty-trigger", event_action="odd")))


def test_pagerdutys_keys_belong_to_their_routing_key() -> None:
    key = first_event(example("pagerduty-trigger")).event_key
    assert first_event(example("pagerduty-trigger", routing_key="f" * 32)).event_key != key


def test_pagerduty_key_without_dedup_key_made_of_payload() -> None:
    one, again = (first_event(example("pagerduty-trigger", dedup_key=ABSENT)) for _ in range(2))
    assert one.event_key == again.event_key
    assert fault_paths(read(example("pagerduty-resolve", dedup_key=ABSENT))) == ["dedup_key"]
    assert fault_paths(read(example("pagerduty-trigger", dedup_key="", payload__summary=""))) == ["payload.summary"]
    assert fault_paths(read(example("pagerduty-trigger", event_action="change"))) == ["event_action"]


@pytest.mark.parametrize(
    ("priority", "severity"),
    [
        ("P1", Severity.CRITICAL),
        (2, Severity.ERROR),
        (3.0, Severity.WARNING),
        ("P5", Severity.INFO),
        ("", Severity.NONE),
    ],
)
def test_opsgenies_priorities(priority: Any, severity: Severity) -> None:
    assert first_event(example("opsgenie-create", alert__priority=priority)).severity is severity


@pytest.mark.parametrize("action", ["AddTags", "AssignOwnership", "Escalate", "Snooze", "UnAcknowledge", None])
def test_other_actions_of_opsgenie_are_no_events(action: Any) -> None:
    parsed = read(example("opsgenie-create", action=action))
    assert (parsed.events, parsed.ignored) == ([], ["other Opsgenie action"])


def test_a_deleted_alert_is_over() -> None:
    assert first_event(example("opsgenie-close", action="Delete")).event_type is EventType.RECOVERY


def test_new_relic_tests_its_channel_with_an_alert() -> None:
    assert first_event(example("newrelic-incident-open", current_state="test")).event_type is EventType.ALERT
    assert read(example("newrelic-incident-open", current_state="acknowledged")).ignored == ["acknowledge"]
    assert fault_paths(read(example("newrelic-incident-open", current_state="odd"))) == ["current_state"]
    assert fault_paths(read(example("newrelic-activated", id=""))) == ["id"]


def test_new_relics_incidents_are_those_of_an_account() -> None:
    one, other = (first_event(example("newrelic-incident-open", account_id=account)).event_key for account in (77, 78))
    assert one != other


def test_sentry_metric_recovery_without_time() -> None:
    payload = example("sentry-metric-resolved", data__metric_alert__date_closed=None)
    assert first_event(payload).occurred_at is None


def test_reopened_sentry_issue_has_no_first_seen_time() -> None:
    assert first_event(example("sentry-issue-created")).occurred_at is not None
    assert first_event(example("sentry-issue-unresolved")).occurred_at is None


@pytest.mark.parametrize("action", ["ignored", "archived", "assigned", ""])
def test_other_changes_of_a_sentry_issue_are_no_events(action: str) -> None:
    assert read(example("sentry-issue-created", action=action)).ignored == ["other Sentry event"]


def test_sentry_detected_by_header() -> None:
    parsed = read({"action": "created", "data": {"installation": {}}}, headers={"sentry-hook-resource": "installation"})
    assert parsed.ignored == ["other Sentry event"]
    assert fault_paths(read(example("sentry-metric-critical", action="odd"))) == ["action"]
    assert fault_paths(read(example("sentry-event-alert", data__event__issue_id=None))) == ["data.event.issue_id"]
