"""One realistic payload of every format and state, with its expected events (payloads/expected.json)."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from event_service.model.event import EventType
from event_service.normalize import parse
from event_service.normalize.result import Parsed
from event_service.wire.timestamps import format_timestamp

PAYLOADS = Path(__file__).parent / "payloads"
EXPECTED: dict[str, dict[str, Any]] = json.loads((PAYLOADS / "expected.json").read_text())
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)

# Payloads of one condition share a key. All other payloads have different keys.
SAME_CONDITION = [
    ["alertmanager-firing", "alertmanager-mixed"],
    [
        "aws-sns-cloudwatch-alarm",
        "aws-sns-cloudwatch-ok",
        "aws-sns-cloudwatch-insufficient",
        "aws-cloudwatch-eventbridge-ok",
    ],
    ["aws-health-upcoming", "aws-sns-health-closed"],
    ["azure-fired", "azure-resolved", "azure-nulls"],
    ["azure-service-health-active", "azure-service-health-resolved"],
    ["cloudevents-opened", "cloudevents-batch", "cloudevents-base64", "cloudevents-binary-body"],
    ["datadog-triggered", "datadog-recovered"],
    ["datadog-default-triggered", "datadog-default-no-data", "datadog-default-recovered"],
    ["datadog-test-triggered", "datadog-test-recovered"],
    ["datadog-upstream-error", "datadog-upstream-success"],
    ["gcp-open", "gcp-closed"],
    ["gcp-pubsub-open", "gcp-pubsub-closed"],
    ["generic-down", "generic-up"],
    ["grafana-firing", "grafana-resolved"],
    ["grafana-legacy-alerting", "grafana-legacy-no-data", "grafana-legacy-ok"],
    ["mapping-red", "mapping-green"],
    ["newrelic-activated", "newrelic-closed"],
    ["newrelic-incident-open", "newrelic-incident-closed"],
    ["opsgenie-create", "opsgenie-close"],
    ["pagerduty-trigger", "pagerduty-resolve"],
    ["pagerduty-v1-trigger", "pagerduty-v1-resolve"],
    ["pagerduty-webhook-triggered", "pagerduty-webhook-resolved"],
    ["sentry-metric-critical", "sentry-metric-resolved"],
    ["sentry-event-alert", "sentry-issue-created", "sentry-issue-unresolved", "sentry-issue-resolved"],
    ["zabbix-problem", "zabbix-resolved"],
    ["zabbix-flat-problem", "zabbix-flat-ok"],
]


def read(name: str, *, as_struct: bool = False) -> Parsed:
    payload = json.loads((PAYLOADS / f"{name}.json").read_text())
    expected = EXPECTED[name]
    return parse(
        "auto",
        doubles(payload) if as_struct else payload,
        expected.get("headers", {}),
        expected.get("options", {}),
        RECEIVED,
    )


def doubles(value: Any) -> Any:
    """Return the value as a google.protobuf.Struct would give it."""
    if isinstance(value, dict):
        return {name: doubles(member) for name, member in value.items()}
    if isinstance(value, list):
        return [doubles(member) for member in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_every_payload_has_an_expectation() -> None:
    assert {path.stem for path in PAYLOADS.glob("*.json")} - {"expected"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("as_struct", [False, True], ids=["http", "grpc"])
def test_a_payload_becomes_what_is_expected(name: str, as_struct: bool) -> None:
    parsed, expected = read(name, as_struct=as_struct), EXPECTED[name]
    assert parsed.faults == []
    assert parsed.source == expected["source"]
    assert parsed.ignored == expected.get("ignored", [])
    assert parsed.message_id.partition(":")[0] == expected.get("message_id", "")
    got = [
        {
            "event_type": event.event_type.value,
            "severity": event.severity.value,
            "title": event.title,
            "description": event.description,
            "rule": event.rule,
            "resources": event.resources,
            "provider": event.provider,
            "account": event.account,
            "image_url": event.image_url,
            "occurred_at": event.occurred_at and format_timestamp(event.occurred_at),
        }
        for event in parsed.events
    ]
    assert [{field: value for field, value in row.items() if value} for row in got] == expected["events"]


@pytest.mark.parametrize("names", SAME_CONDITION, ids=lambda names: names[0])
@pytest.mark.parametrize("as_struct", [False, True], ids=["http", "grpc"])
def test_an_alert_and_its_recovery_have_one_key(names: list[str], as_struct: bool) -> None:
    keys = [{event.event_key for event in read(name, as_struct=as_struct).events} for name in names]
    assert set.intersection(*keys)
    assert keys[0] == {event.event_key for event in read(names[0]).events}


def test_different_conditions_have_different_keys() -> None:
    group_of = {name: names[0] for names in SAME_CONDITION for name in names}
    seen: dict[str, set[str]] = {}
    for name in EXPECTED:
        for event in read(name).events:
            seen.setdefault(event.event_key, set()).add(group_of.get(name, name))
    assert [groups for groups in seen.values() if len(groups) > 1] == []


def test_every_tool_has_a_recovery() -> None:
    recovered = {name for name in EXPECTED for event in read(name).events if event.event_type is EventType.RECOVERY}
    once = {"aws-sns-text", "aws-eventbridge-guardduty", "generic-list", "cloud-eye-items"}
    tools = {name.split("-")[0] for name in EXPECTED if name not in once}
    assert {name.split("-")[0] for name in recovered} == tools


@pytest.mark.parametrize("name", EXPECTED)
def test_raw_data_is_the_payload_or_the_payload_with_that_member_only(name: str) -> None:
    payload = json.loads((PAYLOADS / f"{name}.json").read_text())
    parsed = read(name)
    if name.startswith("pagerduty-") and "webhook" not in name:
        key = "service_key" if "-v1-" in name else "routing_key"
        payload[key] = masked_key(parsed, key)
    if name == "cloudevents-binary-body":
        assert all(event.raw_data["data"] == payload for event in parsed.events)
    elif len(parsed.events) == 1:
        assert parsed.events[0].raw_data == payload
    elif isinstance(payload, list):
        assert [event.raw_data for event in parsed.events] == payload
    else:
        for event in parsed.events:
            assert len(json.dumps(event.raw_data)) < len(json.dumps(payload))
            assert set(event.raw_data) == set(payload)


def masked_key(parsed: Parsed, name: str) -> str:
    """Return the hash that replaces a routing or service key, a credential."""
    if not parsed.events:
        return ""
    key = str(parsed.events[0].raw_data[name])
    assert key.startswith("sha256:")
    assert len(key) == len("sha256:") + 16
    return key


@pytest.mark.parametrize("name", EXPECTED)
def test_what_an_event_carries_can_be_parsed_again_to_the_same_event(name: str) -> None:
    """Replay parses raw_data: list members and binary CloudEvents are parsed in their stored form."""
    expected = EXPECTED[name]
    for event in read(name).events:
        again = parse("auto", event.raw_data, {}, expected.get("options", {}), RECEIVED)
        assert [found.event_key for found in again.events] == [event.event_key]
        assert again.events[0].event_type is event.event_type
        assert again.events[0].title == event.title
