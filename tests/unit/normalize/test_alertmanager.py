"""Alertmanager, beyond the example payloads."""

import pytest

from event_service.model.event import EventType, Severity
from tests.unit.normalize.examples import ABSENT, example, fault_paths, first_event, read


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("critical", Severity.CRITICAL),
        ("Critical", Severity.CRITICAL),
        ("page", Severity.CRITICAL),
        ("emergency", Severity.CRITICAL),
        ("error", Severity.ERROR),
        ("high", Severity.ERROR),
        ("major", Severity.ERROR),
        ("warning", Severity.WARNING),
        ("WARN", Severity.WARNING),
        ("info", Severity.INFO),
        ("none", Severity.INFO),
        ("who knows", Severity.INFO),
        ("", Severity.INFO),
        (ABSENT, Severity.INFO),
    ],
)
def test_severities_are_a_convention_of_rule_writers(word: str, severity: Severity) -> None:
    assert first_event(example("alertmanager-firing", alerts__0__labels__severity=word)).severity is severity


def test_the_most_telling_label_is_the_resource() -> None:
    labels = {"namespace": "shop", "pod": "api-1", "job": "kubelet", "alertname": "A"}
    assert first_event(example("alertmanager-firing", alerts__0__labels=labels)).resources == ["api-1"]


def test_the_rule_is_the_group_where_there_is_one_else_the_alerts_name() -> None:
    assert first_event(example("alertmanager-firing")).rule == "NodeFilesystemFull"
    assert first_event(example("alertmanager-firing", alerts__0__labels__rule_group="disk.rules")).rule == "disk.rules"


def test_key_without_fingerprint_made_of_labels_in_any_order() -> None:
    keys = set()
    for labels in ({"alertname": "A", "dc": "x"}, {"dc": "x", "alertname": "A"}):
        payload = example("alertmanager-firing", alerts__0__labels=labels, alerts__0__fingerprint=ABSENT)
        keys.add(first_event(payload).event_key)
    other = example("alertmanager-firing", alerts__0__labels={"alertname": "Ad", "c": "x"}, alerts__0__fingerprint="")
    assert len(keys) == 1
    assert first_event(other).event_key not in keys


def test_key_excludes_changing_fields() -> None:
    again = example("alertmanager-mixed", alerts__1__annotations__description="Only 2 % left.")
    assert read(again).events[1].event_key == read(example("alertmanager-firing")).events[1].event_key


def test_status_of_alert_overrides_status_of_group() -> None:
    types = [event.event_type for event in read(example("alertmanager-mixed", status="resolved")).events]
    assert types == [EventType.RECOVERY, EventType.ALERT]


def test_an_alert_without_a_status_has_the_groups() -> None:
    payload = example("alertmanager-firing", status="resolved", alerts__0__status=ABSENT)
    assert first_event(payload).event_type is EventType.RECOVERY


def test_an_end_that_is_unset_is_no_time() -> None:
    payload = example("alertmanager-mixed", alerts__0__endsAt="0001-01-01T00:00:00Z")
    assert first_event(payload).occurred_at is None
    assert "ends_at" not in first_event(payload).additional_info


def test_truncated_alerts_reported() -> None:
    parsed = read(example("alertmanager-firing"))
    assert parsed.ignored == ["alerts cut off by the sender"]
    assert {event.additional_info["truncated_alerts"] for event in parsed.events} == {"3"}
    for none in (0, 0.0, None, ABSENT):
        assert read(example("alertmanager-firing", truncatedAlerts=none)).ignored == []


def test_invalid_alert_does_not_affect_others() -> None:
    payload = example("alertmanager-firing", alerts__0={"status": "firing"})
    payload["alerts"].append("text")
    parsed = read(payload)
    assert len(parsed.events) == 1
    assert fault_paths(parsed) == ["alerts[0].labels", "alerts[2]"]
    assert [item.raw_data["alerts"] for item in parsed.bad_items] == [[{"status": "firing"}], ["text"]]


def test_no_alerts_are_no_events() -> None:
    parsed = read(example("alertmanager-firing", alerts=[], truncatedAlerts=0))
    assert (parsed.events, parsed.bad_items) == ([], [])


def test_labels_and_links_can_be_searched() -> None:
    info = first_event(example("alertmanager-firing")).additional_info
    assert info["mountpoint"] == "/var"
    assert info["runbook_url"] == "https://runbooks.example.org/disk"
    assert info["generator_url"].startswith("http://prometheus")
