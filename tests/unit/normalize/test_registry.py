"""Parser names, upstream's plugin ids, automatic detection, and payloads that no parser detects."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from event_service.normalize import (
    AUTO,
    Parsed,
    canonical_name,
    endpoint_of,
    known_names,
    option_faults,
    parse,
    registry,
)
from event_service.normalize.registry import ParserSpec
from event_service.normalize.result import Fault

PAYLOADS = Path(__file__).parent / "payloads"
RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)


def payload(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def test_every_tool_has_a_parser_name() -> None:
    tools = "alertmanager aws azure cloud-eye cloudevents datadog gcp generic grafana mapping native newrelic opsgenie"
    assert set(tools.split()) | {"pagerduty", "sentry", "zabbix", AUTO} <= set(known_names())


@pytest.mark.parametrize(
    ("plugin_id", "name"),
    [
        ("", AUTO),
        ("auto", AUTO),
        ("native", "native"),
        ("cloud-eye", "cloud-eye"),
        ("cloud_eye", None),  # the Cloud Eye API looks for webhooks with the exact id
        ("plugin-prometheus-mon-webhook", "alertmanager"),
        ("plugin-grafana-mon-webhook", "grafana"),
        ("plugin-aws-sns-mon-webhook", "aws"),
        ("plugin-aws-cloudwatch-mon-webhook", "aws"),
        ("plugin-aws-phd-mon-webhook", "aws"),
        ("plugin-azure-monitor-mon-webhook", "azure"),
        ("plugin-google-monitoring-mon-webhook", "gcp"),
        ("plugin-datadog-mon-webhook", "datadog"),
        ("plugin-zabbix-mon-webhook", "zabbix"),
        ("plugin-api-direct-mon-webhook", "native"),
        ("plugin-unknown", None),
    ],
)
def test_upstreams_plugin_ids_are_known(plugin_id: str, name: str | None) -> None:
    assert canonical_name(plugin_id) == name


def test_endpoint_of_webhook_option_takes_precedence() -> None:
    table = {"plugin-x": "grpc://x:1"}
    assert endpoint_of("plugin-x", {}, table) == "grpc://x:1"
    assert endpoint_of("plugin-x", {"endpoint": "grpc://y:2"}, table) == "grpc://y:2"
    assert endpoint_of("native", {"endpoint": 5}, table) == ""


@pytest.mark.parametrize(
    ("name", "plugin_id"),
    [
        ("aws-sns-cloudwatch-alarm", "aws"),
        ("aws-health-upcoming", "plugin-aws-phd-mon-webhook"),
        ("aws-cloudwatch-eventbridge-ok", "aws"),
        ("grafana-firing", "grafana"),
        ("grafana-legacy-ok", "plugin-grafana-mon-webhook"),
        ("pagerduty-trigger", "pagerduty"),
        ("pagerduty-webhook-resolved", "pagerduty"),
        ("alertmanager-firing", "plugin-prometheus-mon-webhook"),
    ],
)
def test_a_tool_with_several_formats_has_one_name(name: str, plugin_id: str) -> None:
    fixed, detected = (parse(which, payload(name), {}, {}, RECEIVED) for which in (plugin_id, AUTO))
    assert fixed.events == detected.events != []


def test_fixed_parser_refuses_other_formats() -> None:
    assert parse("aws", payload("gcp-open"), {}, {}, RECEIVED).faults == ["not a payload of aws"]
    assert parse("alertmanager", payload("gcp-open"), {}, {}, RECEIVED).faults == ["alerts: must be a list"]


def test_unknown_parser_name_keeps_payload() -> None:
    (item,) = parse("plugin-unknown", [1], {}, {}, RECEIVED).bad_items
    assert item.faults[0].path == "plugin_info.plugin_id"
    assert item.raw_data == {"body": [1]}


@pytest.mark.parametrize("odd", [{"foo": 1}, {}, " - ", None, 5, True])
def test_unknown_payload_is_bad_item(odd: Any) -> None:
    parsed = parse(AUTO, odd, {}, {}, RECEIVED)
    assert parsed.events == []
    assert len(parsed.bad_items) == 1


def test_list_members_parsed_by_their_own_formats() -> None:
    gcp, native = payload("gcp-open"), {"event_key": "k", "severity": "x"}
    parsed = parse(AUTO, [gcp, {"title": "Disk full"}, native, 5], {}, {}, RECEIVED)
    assert [event.title for event in parsed.events] == ["p99 above 1 s", "Disk full"]
    assert [event.raw_data for event in parsed.events] == [gcp, {"title": "Disk full"}]
    assert [item.faults[0].path for item in parsed.bad_items] == ["[2].severity", "[3]"]
    assert [item.raw_data for item in parsed.bad_items] == [native, {"body": 5}]
    assert parse(AUTO, [], {}, {}, RECEIVED).ignored == ["empty list"]


@pytest.mark.parametrize("batch", ["cloud-eye-items", "cloudevents-batch"])
def test_mixed_list_result_independent_of_order(batch: str) -> None:
    members = [payload(batch)[0], {"event_key": "k"}, payload("gcp-open")]
    for mixed in (members, members[::-1]):
        parsed = parse(AUTO, mixed, {}, {}, RECEIVED)
        assert parsed.faults == []
        assert [event.raw_data for event in parsed.events] == mixed


def test_mapping_takes_precedence_over_detection() -> None:
    options = {"mapping": {"title": "incident.incident_id"}}
    (event,) = parse(AUTO, payload("gcp-open"), {}, options, RECEIVED).events
    assert event.title == payload("gcp-open")["incident"]["incident_id"]


def test_timestamped_only_if_sender_sends_times() -> None:
    assert parse(AUTO, payload("alertmanager-firing"), {}, {}, RECEIVED).timestamped
    assert parse(AUTO, payload("gcp-open"), {}, {}, RECEIVED).timestamped
    assert not parse(AUTO, payload("grafana-legacy-ok"), {}, {}, RECEIVED).timestamped
    assert not parse(AUTO, payload("native-batch"), {}, {}, RECEIVED).timestamped
    assert not parse(AUTO, payload("generic-down"), {}, {}, RECEIVED).timestamped


def test_raw_message_delivery_id_read_from_headers() -> None:
    headers = {"x-amz-sns-message-id": "m-1"}
    assert parse(AUTO, {"title": "t"}, headers, {}, RECEIVED).message_id == "sns:m-1"


TOPIC = "arn:aws:sns:eu-central-1:210987654321:ops"
RAW = {"x-amz-sns-rawdelivery": "true", "x-amz-sns-message-id": "m-1", "x-amz-sns-topic-arn": TOPIC}
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/s",
    "ce-type": "a.b.opened",
    "content-type": "text/plain",
}


@pytest.mark.parametrize("plugin_id", [AUTO, "aws"])
def test_raw_delivery_of_text_equals_its_envelope(plugin_id: str) -> None:
    parsed = parse(plugin_id, {"body": "Disk full\non web-1"}, RAW, {}, RECEIVED, not_json="no JSON")
    (event,) = parsed.events
    assert (event.title, event.description, event.account) == ("Disk full", "Disk full\non web-1", "210987654321")
    assert parsed.message_id == "sns:m-1"
    assert parse(plugin_id, event.raw_data, {}, {}, RECEIVED).events == [event]


@pytest.mark.parametrize(("payload", "text"), [("Disk full", "Disk full"), (42, "42"), ([1, 2], "[1, 2]")])
def test_raw_delivery_of_json_scalar_or_list_is_text(payload: Any, text: str) -> None:
    (event,) = parse(AUTO, payload, RAW, {}, RECEIVED).events
    assert (event.title, event.raw_data["Message"]) == (text, text)


def test_raw_delivery_of_unstorable_json_is_fault_with_message_id() -> None:
    parsed = parse(AUTO, {"body": '{"event_key": NaN}'}, RAW, {}, RECEIVED, not_json="no JSON")
    assert [item.faults[0].path for item in parsed.bad_items] == ["Message"]
    assert parsed.message_id == "sns:m-1"


@pytest.mark.parametrize("plugin_id", [AUTO, "cloudevents"])
def test_binary_cloud_event_accepts_non_json_body(plugin_id: str) -> None:
    parsed = parse(plugin_id, "hello", BINARY, {}, RECEIVED)
    (event,) = parsed.events
    assert (event.title, event.raw_data["data"], event.raw_data["source"]) == ("hello", "hello", "/s")
    assert parsed.message_id.startswith("cloudevents:")


@pytest.mark.parametrize(
    ("plugin_id", "headers", "options"),
    [
        (AUTO, {}, {}),
        (AUTO, {"content-type": "application/cloudevents+json"}, {}),
        (AUTO, {**BINARY, "content-type": "Application/JSON; charset=utf-8"}, {}),
        (AUTO, {**BINARY, "content-type": "application/problem+json"}, {}),
        (AUTO, RAW, {"mapping": {"title": "title"}}),
        (AUTO, RAW, {"endpoint": "grpc://x:1"}),
        ("native", RAW, {}),
        ("cloudevents", RAW, {}),
        ("aws", BINARY, {}),
        ("plugin-unknown", RAW, {}),
    ],
)
def test_non_json_body_without_matching_headers_is_bad_item(
    plugin_id: str, headers: dict[str, str], options: dict[str, Any]
) -> None:
    parsed = parse(plugin_id, {"body": "{oops"}, headers, options, RECEIVED, not_json="no JSON")
    assert [(item.faults, item.raw_data) for item in parsed.bad_items] == [
        ([Fault("", "no JSON", "not-json")], {"body": "{oops"})
    ]
    assert parsed.bad_items[0].first_line == "{oops"
    assert parsed.source == ""


def test_failing_parser_keeps_payload(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> Parsed:
        raise KeyError("a bug")

    broken = ParserSpec("native", lambda *_: True, fail)
    monkeypatch.setitem(registry._BY_NAME, "native", (broken,))
    with caplog.at_level(logging.ERROR):
        (item,) = parse("native", {"a": 1}, {}, {}, RECEIVED).bad_items
    assert item.raw_data == {"a": 1}
    assert item.faults[0].kind == "internal"
    assert "KeyError" in caplog.text


def test_fault_class_independent_of_list_position() -> None:
    assert str(Fault("severity", "p").below("[3]")) == "[3].severity: p"
    assert Fault("", "p").below("[3]").path == "[3]"
    assert Fault("a", "p").below("[3]").fault_class == Fault("a", "p").below("[7]").fault_class


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"timezone": "Mars/Base"}, "options.timezone"),
        ({"timezone": "../../etc/passwd"}, "options.timezone"),
        ({"timezone": 5}, "options.timezone"),
        ({"ignore_insufficient_data": "yes"}, "options.ignore_insufficient_data"),
        ({"sentry_client_secret": ""}, "options.sentry_client_secret"),
        ({"pagerduty_secrets": []}, "options.pagerduty_secrets"),
        ({"pagerduty_secrets": ["a", 5]}, "options.pagerduty_secrets"),
        ({"sns_topics": ["ops"]}, "options.sns_topics"),
        ({"values": []}, "options.values"),
        ({"mapping": []}, "options.mapping"),
        ({"mapping": {"title": "a["}}, "options.mapping.title"),
        ({"mapping": {"title": 5}}, "options.mapping.title"),
        ({"mapping": {"title": "a" * 2000}}, "options.mapping.title"),
        ({"mapping": {"titel": "a", "title": "a"}}, "options.mapping.titel"),
        ({"mapping": {"severity": "a"}}, "options.mapping.title"),
    ],
)
def test_invalid_options_reported_with_path(options: dict[str, Any], path: str) -> None:
    assert [fault.path for fault in option_faults(options)] == [path]


def test_valid_options_have_no_faults() -> None:
    options = {
        "timezone": "Asia/Seoul",
        "ignore_insufficient_data": True,
        "sentry_client_secret": "s",
        "pagerduty_secrets": "s",
        "sns_topics": ["arn:aws:sns:eu-central-1:210987654321:ops"],
        "mapping": {"event_key": "id", "items": "checks[*]"},
        "values": {},
        "anything": "else",
    }
    assert option_faults(options) == []
    assert option_faults({"timezone": None, "mapping": None}) == []
