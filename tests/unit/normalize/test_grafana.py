"""Grafana, of today and before version 8."""

import pytest

from event_service.model.event import EventType, Severity
from tests.unit.normalize.examples import ABSENT, example, fault_paths, first_event, read


def test_a_group_of_alerts_is_as_many_events_however_it_is_keyed() -> None:
    payload = example("grafana-firing")
    payload["alerts"].append({**payload["alerts"][0], "fingerprint": "other", "status": "resolved"})
    events = read(payload).events
    assert [event.event_key for event in events] == ["b3d1a9f04c77e812", "other"]
    assert [event.event_type for event in events] == [EventType.ALERT, EventType.RECOVERY]


def test_without_a_severity_label_firing_is_an_error() -> None:
    assert first_event(example("grafana-firing", alerts__0__labels__severity=ABSENT)).severity is Severity.ERROR
    assert first_event(example("grafana-resolved", alerts__0__labels__severity=ABSENT)).severity is Severity.INFO


def test_name_and_severity_are_no_resource() -> None:
    payload = example("grafana-firing", alerts__0__labels={"alertname": "A", "severity": "critical"})
    assert first_event(payload).resources == []


def test_a_title_without_a_name_is_that_of_the_group_without_its_state() -> None:
    payload = example("grafana-firing", alerts__0__labels={}, alerts__0__annotations={})
    assert first_event(payload).title == "Shop"


def test_the_picture_is_the_rendered_one_else_the_panel() -> None:
    assert first_event(example("grafana-resolved")).image_url.endswith("/render/4.png")
    assert first_event(example("grafana-resolved", alerts__0__imageURL="")).image_url.endswith("viewPanel=4")


@pytest.mark.parametrize("state", ["paused", "pending", "unknown"])
def test_states_of_old_that_are_neither_alert_nor_recovery(state: str) -> None:
    parsed = read(example("grafana-legacy-alerting", state=state))
    assert (parsed.events, parsed.ignored) == ([], [f"state {state}"])


def test_an_old_rule_is_known_by_organisation_and_id_as_text_or_number() -> None:
    keys = {
        first_event(example("grafana-legacy-alerting", ruleId=rule, orgId=org)).event_key
        for rule, org in ((17, 2), (17.0, 2.0), ("17", "2"))
    }
    assert len(keys) == 1
    assert first_event(example("grafana-legacy-alerting", orgId=3)).event_key not in keys
    assert first_event(example("grafana-legacy-alerting", dashboardId=99)).event_key in keys


def test_what_an_old_alert_must_have() -> None:
    assert fault_paths(read(example("grafana-legacy-alerting", state="odd", ruleId=None))) == ["state", "ruleId"]


def test_a_bracket_that_is_no_state_belongs_to_the_title() -> None:
    assert first_event(example("grafana-legacy-alerting", title="[Alerting] [EU] Latency")).title == "[EU] Latency"
    assert first_event(example("grafana-legacy-alerting", title=ABSENT)).title == "API latency"
