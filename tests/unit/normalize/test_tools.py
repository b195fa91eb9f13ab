"""Tools whose payload is one event: what their tables have beyond the example payloads."""

from datetime import timedelta
from typing import Any

import pytest

from event_service.model.event import EventType, Severity
from event_service.normalize import mask_credentials, parse
from event_service.normalize.tools import TOOLS
from tests.unit.normalize.examples import RECEIVED, example, fault_paths, first_event, read

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_payload_that_names_no_condition_is_a_fault(tool: Any) -> None:
    parsed = parse(tool.name, dict.fromkeys(tool.marks, "") | {"state": "firing"}, {}, {}, RECEIVED)
    assert parsed.events == []
    assert parsed.faults or parsed.ignored


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("uptime-kuma-down", {"monitor__name": "Till [south]"}),
        ("uptime-kuma-down", {"monitor__id": 42}),
        ("netdata-problem", {"host": "cold-store-3"}),
        ("netdata-problem", {"chart": "sensors.door"}),
        ("nagios-problem", {"NAGIOS_HOSTNAME": "mill-4"}),
        ("nagios-problem", {"NAGIOS_SERVICEDESC": "Load"}),
        ("nagios-problem", {"NAGIOS_SERVICEDESC": ""}),
        ("monit-problem", {"MONIT_EVENT": "Status failed"}),
        ("influxdb-problem", {"hall": "east"}),
        ("graylog-event", {"event__group_by_fields__terminal": "kiosk-10"}),
        ("alerta-problem", {"environment": "Test"}),
        ("splunk-oncall-problem", {"entity_id": "greenhouse/5/vents"}),
        ("azure-own-metric-problem", {"data__context__condition__allOf__0__dimensions__0__value": "4"}),
        ("azure-own-metric-problem", {"data__context__resourceId": "/subscriptions/4e2a/x/other"}),
        ("cloud-eye-alarm-problem", {"template_variable__ResourceId": "88bb"}),
        ("solarwinds-problem", {"AlertObjectID": "1208"}),
        ("librenms-problem", {"hostname": "switch-13"}),
        ("robusta-problem", {"cluster_name": "farm-us"}),
    ],
)
def test_another_resource_or_check_is_another_condition(name: str, changes: dict[str, Any]) -> None:
    assert first_event(example(name, **changes)).event_key != first_event(example(name)).event_key


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("uptime-kuma-down", {"heartbeat__msg": "503"}),
        ("netdata-problem", {"alarm_id": "9", "value_string": "1", "status": "WARNING"}),
        ("nagios-problem", {"NAGIOS_SERVICEOUTPUT": "other text", "NAGIOS_SERVICESTATE": "WARNING"}),
        ("influxdb-problem", {"pressure": 9.3, "_message": "other", "_level": "warn"}),
        ("azure-own-metric-problem", {"data__context__condition__allOf__0__metricValue": 70}),
        ("checkly-problem", {"check_error_message": "503", "alert_type": "ALERT_FAILURE_REMAIN"}),
        ("apprise-problem", {"message": "other text", "type": "warning"}),
    ],
)
def test_text_value_and_level_are_no_part_of_the_key(name: str, changes: dict[str, Any]) -> None:
    assert first_event(example(name, **changes)).event_key == first_event(example(name)).event_key


@pytest.mark.parametrize(
    "names",
    [
        ("NOTIFICATIONTYPE", "HOSTNAME", "SERVICEDESC", "SERVICESTATE"),
        ("$NOTIFICATIONTYPE$", "$HOSTNAME$", "$SERVICEDESC$", "$SERVICESTATE$"),
        ("notification_type", "host_name", "service_description", "service_state"),
        ("notificationType", "hostName", "serviceName", "serviceState"),
        ("ICINGA_NOTIFICATIONTYPE", "ICINGA_HOSTNAME", "ICINGA_SERVICEDESC", "ICINGA_SERVICESTATE"),
        ("NOTIFY_NOTIFICATIONTYPE", "NOTIFY_HOSTNAME", "NOTIFY_SERVICEDESC", "NOTIFY_SERVICESTATE"),
        ("notification.type", "host.name", "service.name", "service.state"),
    ],
)
def test_nagios_macros_in_any_spelling(names: tuple[str, ...]) -> None:
    problem = dict(zip(names, ("PROBLEM", "mill-2", "Belt speed", "UNKNOWN"), strict=True))
    recovery = dict(zip(names, ("RECOVERY", "mill-2", "Belt speed", "OK"), strict=True))
    assert read(problem).source == "nagios"
    alert, end = first_event(problem), first_event(recovery)
    assert (alert.event_type, end.event_type) == (EventType.ALERT, EventType.RECOVERY)
    assert alert.event_key == end.event_key == first_event(example("nagios-problem")).event_key
    assert alert.severity is Severity.NOT_AVAILABLE


def test_nagios_host_notification_with_unexpanded_service_macros() -> None:
    payload = {
        "NOTIFICATIONTYPE": "PROBLEM",
        "HOSTNAME": "mill-2",
        "HOSTSTATE": "DOWN",
        "HOSTOUTPUT": "No answer",
        "SERVICEDESC": "$SERVICEDESC$",
        "SERVICESTATE": "$SERVICESTATE$",
    }
    event = first_event(payload)
    assert (event.title, event.severity) == ("Host mill-2", Severity.CRITICAL)
    assert event.event_key == first_event(example("nagios-host-down")).event_key


@pytest.mark.parametrize(
    ("failed", "succeeded"),
    [
        ("Does not exist", "Exists"),
        ("Timeout", "Timeout recovery"),
        ("Link down", "Link up"),
        ("Saturation exceeded", "Saturation ok"),
        ("Resource limit matched", "Resource limit succeeded"),
        ("Checksum changed", "Checksum not changed"),
    ],
)
def test_monit_events_of_one_test(failed: str, succeeded: str) -> None:
    alert, end = (first_event(example("monit-problem", MONIT_EVENT=event)) for event in (failed, succeeded))
    assert (alert.event_type, end.event_type) == (EventType.ALERT, EventType.RECOVERY)
    assert alert.event_key == end.event_key


def test_monit_action_makes_no_event() -> None:
    assert read(example("monit-problem", MONIT_EVENT="Action done")).events == []


@pytest.mark.parametrize(
    ("status", "event_type"),
    [
        ("Down ended (now: Up)", EventType.RECOVERY),
        ("Down ended (now: Warning)", EventType.ALERT),
        ("Warning", EventType.ALERT),
        ("Unusual", EventType.ALERT),
        ("Up", EventType.RECOVERY),
    ],
)
def test_prtg_states(status: str, event_type: EventType) -> None:
    assert first_event(example("prtg-problem", status=status)).event_type is event_type


def test_certificate_of_uptime_kuma_is_one_condition_every_day() -> None:
    payload = example("uptime-kuma-certificate")
    later = {**payload, "msg": payload["msg"].replace("7 days", "6 days")}
    assert first_event(payload).event_key == first_event(later).event_key


def test_prometheus_alert_fires_until_its_end_has_passed() -> None:
    (member, _) = example("prometheus-firing")
    ends = {
        EventType.ALERT: (RECEIVED + timedelta(minutes=4)).isoformat(),
        EventType.RECOVERY: (RECEIVED - timedelta(seconds=1)).isoformat(),
    }
    for event_type, ends_at in ends.items():
        assert first_event([{**member, "endsAt": ends_at}]).event_type is event_type
    assert first_event({**member, "endsAt": "0001-01-01T00:00:00Z"}).event_type is EventType.ALERT
    assert fault_paths(read([member, {**member, "labels": {}}])) == ["[1].labels"]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("splunk-oncall-problem", "routing_key"),
        ("statuscake-down", "Token"),
        ("pagerduty-change", "routing_key"),
        ("pagerduty-v1-trigger", "service_key"),
    ],
)
def test_keys_are_hashed_before_anything_is_stored(name: str, secret: str) -> None:
    masked = mask_credentials(example(name, **{secret: SECRET}), f'"{secret}"'.encode())
    assert masked[secret].startswith("sha256:")
    wrapped = mask_credentials({"Message": str(example(name)).replace("'", '"')})
    assert example(name)[secret] not in str(wrapped)


def test_smn_message_of_another_tool_is_read_by_its_format() -> None:
    envelope = example("huawei-smn-text", message='{"event_key": "a", "title": "Basin 3", "severity": "ERROR"}')
    parsed = read(envelope)
    assert (parsed.source, parsed.events[0].event_key, parsed.message_id) == ("native", "a", "smn:m-3")
    assert parsed.events[0].raw_data == envelope


def test_smn_message_of_several_events_keeps_each_in_its_own_envelope() -> None:
    message = '[{"event_key": "a", "title": "A"}, {"event_key": "b", "title": "B"}]'
    parsed = read(example("huawei-smn-text", message=message))
    assert [event.event_key for event in parsed.events] == ["a", "b"]
    assert '"b"' not in parsed.events[0].raw_data["message"]


def test_smn_text_in_brackets_is_text() -> None:
    assert first_event(example("huawei-smn-text", subject="", message="[42]")).title == "[42]"
    assert read({**example("huawei-smn-text"), "type": "UnsubscribeConfirmation"}).events == []


@pytest.mark.parametrize(
    ("payload", "title"),
    [
        ({"text": "<https://yard.example.org|Crane 3> is stuck", "channel": "#yard"}, "Crane 3 is stuck"),
        ({"attachments": [{"fallback": "Crane 3 is stuck", "color": "danger"}]}, "Crane 3 is stuck"),
        (
            {"attachments": [{"blocks": [{"type": "section", "text": {"text": "Crane 3 is stuck"}}]}]},
            "Crane 3 is stuck",
        ),
    ],
)
def test_slack_shapes(payload: dict[str, Any], title: str) -> None:
    parsed = read(payload)
    assert (parsed.source, parsed.events[0].title) == ("slack", title)


def test_empty_list_of_attachments_is_not_slack() -> None:
    assert read({"title": "Disk", "attachments": []}).source == "generic"


def test_severity_by_the_webhooks_own_table() -> None:
    payload = example("uptimerobot-down")
    assert first_event(payload, {"values": {"severity": {"1": "WARNING"}}}).severity is Severity.WARNING
    parsed = read(example("alerta-problem", severity="purple"))
    assert (parsed.events[0].severity, parsed.ignored) == (Severity.WARNING, ["unknown severity"])
