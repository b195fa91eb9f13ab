"""Grafana, current and before version 8."""

import pytest

from event_service.model.event import EventType, Severity
from tests.unit.normalize.examples import ABSENT, example, fault_paths, first_event, read


def test_one_event_per_alert_of_a_group() -> None:
    payload = example("grafana-firing")
    payload["alerts"].append({**payload["alerts"][0], "fingerprint": "other", "status": "resolved"})
    events = read(payload).events
    assert [event.event_key for event in events] == ["b3d1a9f04c77e812", "other"]
    assert [event.event_type for event in events] == [EventType.ALERT, EventType.RECOVERY]


def test_firing_without_severity_label_is_error() -> None:
    assert first_event(example("grafana-firing", alerts__0__labels__severity=ABSENT)).severity is Severity.ERROR
    assert first_event(example("grafana-resolved", alerts__0__labels__severity=ABSENT)).severity is Severity.INFO


def test_alertname_and_severity_are_not_resources() -> None:
    payload = example("grafana-firing", alerts__0__labels={"alertname": "A", "severity": "critical"})
    assert first_event(payload).resources == []


def test_a_title_without_a_name_is_that_of_the_group_without_its_state() -> None:
    payload = example("grafana-firing", alerts__0__labels={}, alerts__0__annotations={})
    assert first_event(payload).title == "Shop"


def test_image_url_is_rendered_image_or_panel() -> None:
    assert first_event(example("grafana-resolved")).image_url.endswith("/render/4.png")
    assert first_event(example("grafana-resolved", alerts__0__imageURL="")).image_url.endswith("viewPanel=4")


@pytest.mark.parametrize("state", ["paused", "pending", "unknown"])
def test_legacy_paused_and_pending_states_ignored(state: str) -> None:
    parsed = read(example("grafana-legacy-alerting", state=state))
    assert (parsed.events, parsed.ignored) == ([], [f"state {state}"])


def test_legacy_key_equal_for_text_and_number_ids() -> None:
    keys = {
        first_event(example("grafana-legacy-alerting", ruleId=rule, orgId=org)).event_key
        for rule, org in ((17, 2), (17.0, 2.0), ("17", "2"))
    }
    assert len(keys) == 1
    assert first_event(example("grafana-legacy-alerting", orgId=3)).event_key not in keys
    assert first_event(example("grafana-legacy-alerting", dashboardId=99)).event_key in keys


def test_legacy_alert_required_fields() -> None:
    assert fault_paths(read(example("grafana-legacy-alerting", state="odd", ruleId=None))) == ["state", "ruleId"]


def test_other_brackets_kept_in_title() -> None:
    assert first_event(example("grafana-legacy-alerting", title="[Alerting] [EU] Latency")).title == "[EU] Latency"
    assert first_event(example("grafana-legacy-alerting", title=ABSENT)).title == "API latency"
