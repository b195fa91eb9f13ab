"""Identity, states and times of tools whose payloads only `generic` and `native` read."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize import parse
from event_service.normalize.result import Parsed
from event_service.normalize.severities import bare_title, named_severity, state_in_title, stateless
from tests.unit.normalize.examples import sns_message

RECEIVED = datetime(2026, 3, 9, 7, 5, tzinfo=UTC)


def read(payload: Any, **options: Any) -> Parsed:
    return parse("auto", payload, {}, options, RECEIVED)


def event_of(payload: Any, **options: Any) -> EventDraft:
    parsed = read(payload, **options)
    assert parsed.faults == []
    return parsed.events[0]


def keys(*payloads: Any) -> list[str]:
    return [event_of(payload).event_key for payload in payloads]


# --- identity -------------------------------------------------------------------------------------------------

NAGIOS = {"HOSTNAME": "db-9", "SERVICEDESC": "Replication"}
FARM = {"host": "barn-1", "name": "silo_level", "alarm_id": 7}


@pytest.mark.parametrize(
    "payloads",
    [
        [
            {**NAGIOS, "NOTIFICATIONTYPE": "PROBLEM", "SERVICESTATE": "CRITICAL", "SERVICEOUTPUT": "CRITICAL: 900 s"},
            {**NAGIOS, "NOTIFICATIONTYPE": "RECOVERY", "SERVICESTATE": "OK", "SERVICEOUTPUT": "OK: 0 s"},
        ],
        [{**FARM, "status": "WARNING", "info": "90 %"}, {**FARM, "status": "CLEAR", "info": "10 %"}],
        [
            {"host": "gate-2", "state": "DOWN", "output": "no answer"},
            {"host": "gate-2", "state": "UP", "output": "2 ms"},
        ],
        [
            {"Title": "Service PROBLEM notification", "Host": "a", "Service": "Belt", "State": "CRITICAL"},
            {"Title": "Service RECOVERY notification", "Host": "a", "Service": "Belt", "State": "OK"},
        ],
        [{"title": "Crane is DOWN", "state": "down"}, {"title": "Crane is UP", "state": "up"}],
        [{"title": "CRITICAL: Crane"}, {"title": "✅ OK: Crane"}],
        [{"event": "Silo failed", "resource": "s-1"}, {"event": "Silo recovered", "resource": "s-1"}],
        [
            {"monitor_id": 5, "message": "HTTP 500", "status": "down"},
            {"monitor_id": 5, "message": "200", "status": "up"},
        ],
        [{"alert_uid": "u", "title": "a", "state": "alerting"}, {"alert_uid": "u", "title": "b", "state": "ok"}],
    ],
    ids=["nagios", "alarm-id", "host", "notification", "is-down", "marks", "event", "monitor", "uid"],
)
def test_recovery_has_the_key_of_its_alert(payloads: Sequence[dict[str, Any]]) -> None:
    alert, recovery = (event_of(payload) for payload in payloads)
    assert alert.event_key == recovery.event_key
    assert [alert.event_type, recovery.event_type] == [EventType.ALERT, EventType.RECOVERY]


@pytest.mark.parametrize(
    "payloads",
    [
        [{**FARM, "status": "CRITICAL"}, {**FARM, "host": "barn-2", "status": "CRITICAL"}],
        [{**FARM, "chart": "north", "status": "CRITICAL"}, {**FARM, "chart": "south", "status": "CRITICAL"}],
        [
            {"host": "a", "service": "http", "message": "timeout", "state": "CRITICAL"},
            {"host": "a", "service": "smtp", "message": "timeout", "state": "CRITICAL"},
            {"host": "b", "service": "smtp", "message": "timeout", "state": "CRITICAL"},
            {"host": "a", "message": "timeout", "state": "DOWN"},
        ],
        [{"host": "a", "service": "shop", "title": "slow"}, {"host": "a", "service": "shop", "title": "many errors"}],
        [{"message": "banned", "source": {"ip": "192.0.2.1"}}, {"message": "banned", "source": {"ip": "192.0.2.2"}}],
        [{"check_name": "a", "message": "HTTP 500"}, {"check_name": "b", "message": "HTTP 500"}],
    ],
    ids=["hosts", "parts", "services", "titles", "addresses", "checks"],
)
def test_different_conditions_have_different_keys(payloads: Sequence[dict[str, Any]]) -> None:
    assert len(set(keys(*payloads))) == len(payloads)


def test_host_is_the_resource_and_service_the_rule() -> None:
    event = event_of({"host": "a", "service": "http", "message": "timeout", "state": "CRITICAL"})
    assert (event.resources, event.rule, event.title) == (["a"], "http", "http: timeout")


def test_title_that_is_only_a_state_gives_way_to_the_message() -> None:
    event = event_of({"title": "PROBLEM", "message": "Silo 4 is full"})
    assert event.title == "Silo 4 is full"


def test_alerts_without_group_fields_are_alertmanagers() -> None:
    alert = {"status": "firing", "labels": {"alertname": "Belt", "instance": "b-1", "severity": "critical"}}
    parsed = read({"title": "[FIRING:2]", "alerts": [alert, {**alert, "labels": {"alertname": "Lamp"}}]})
    assert parsed.source == "alertmanager"
    assert [event.rule for event in parsed.events] == ["Belt", "Lamp"]
    assert parsed.events[0].resources == ["b-1"]


def test_datadog_groups_of_one_monitor_differ() -> None:
    def body(title: str) -> dict[str, Any]:
        return {"body": "", "event_type": "metric_alert_monitor", "title": title, "org": {"id": "1"}, "id": "9"}

    first, second, over = (
        event_of(body(title))
        for title in (
            "[Triggered on {host:a}] Hot",
            "[P2] [Triggered on {host:b,rack:2}] Hot",
            "[Recovered on {host:a}] Hot",
        )
    )
    assert first.event_key == over.event_key != second.event_key
    assert (first.resources, second.resources, first.title) == (["a"], ["b"], "Hot")


def test_eventbridge_events_are_keyed_by_the_identifier_of_their_service() -> None:
    def body(**detail: Any) -> dict[str, Any]:
        return {"detail-type": "Job State Change", "source": "aws.glue", "resources": [], "detail": detail}

    failed, other, done = (
        event_of(body(jobName=name, jobRunId=run, state=state))
        for name, run, state in (("etl", "r1", "FAILED"), ("load", "r2", "FAILED"), ("etl", "r3", "SUCCEEDED"))
    )
    assert failed.event_key == done.event_key != other.event_key
    assert (failed.severity, done.event_type) == (Severity.ERROR, EventType.RECOVERY)
    assert (failed.resources, failed.title) == (["etl"], "Job State Change: etl")


def test_sns_messages_of_rds_are_about_their_database() -> None:
    def body(database: str) -> dict[str, Any]:
        return sns_message(
            **{"Event Message": "Storage is low", "Source ID": database, "Event Time": "2026-03-09 07:00:00"}
        )

    one, other = event_of(body("orders")), event_of(body("stock"))
    assert one.event_key != other.event_key
    assert (one.title, one.resources) == ("Storage is low", ["orders"])
    assert one.occurred_at == datetime(2026, 3, 9, 7, tzinfo=UTC)


def test_notification_ends_the_wait_for_its_topics_confirmation() -> None:
    (ending,) = read(sns_message(title="x")).endings
    request = {**sns_message(), "Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.example.org/"}
    subscription = read(request).subscription
    assert subscription is not None
    assert (ending.event_key, ending.event_type) == (subscription.event.event_key, EventType.RECOVERY)
    assert ending.only_if_open


def test_message_that_holds_an_alarm_as_json_is_that_alarm() -> None:
    def body(state: str) -> dict[str, Any]:
        alarm = {
            "message_type": "alarm",
            "alarm_id": "al-4",
            "alarm_name": "disk",
            "alarm_status": state,
            "time": 1773039600000,
        }
        message = json.dumps({**alarm, "template_variable": {"ResourceName": "vm-3", "AlarmLevel": "Major"}})
        return {"type": "Notification", "subject": f"[{state}] disk", "topic_urn": "urn:t", "message": message}

    alert, recovery = event_of(body("alarm")), event_of(body("ok"))
    assert alert.event_key == recovery.event_key
    assert recovery.event_type is EventType.RECOVERY
    assert (alert.severity, alert.resources) == (Severity.ERROR, ["vm-3"])
    assert event_of({"message": "{not json"}).title == "{not json"


def test_sentry_plugin_has_the_key_of_its_issue() -> None:
    plugin = {"project_slug": "shop", "id": "81", "culprit": "pay", "level": "error", "event": {"title": "Boom"}}
    hook = {"action": "resolved", "data": {"issue": {"id": "81", "title": "Boom"}}}
    assert keys(plugin, hook)[0] == keys(hook)[0]
    assert event_of(plugin).severity is Severity.ERROR


# --- states and severities ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "state", "bare", "key"),
    [
        ("[RESOLVED] Silo", "resolved", "Silo", "Silo"),
        ("🔴 [Down] Silo", "down", "Silo", "Silo"),
        ("(RESOLVED) Silo", "resolved", "Silo", "Silo"),
        ("[P1] [OK] Silo", "ok", "Silo", "Silo"),
        ("UP: Silo", "up", "Silo", "Silo"),
        ("CRITICAL - Silo", "critical", "Silo", "Silo"),
        ("恢复：筒仓", "恢复", "筒仓", "筒仓"),
        ("[Silo] [✅ Up]", "up", "[Silo] [✅ Up]", "[Silo]"),
        ("Silo - OK", "ok", "Silo - OK", "Silo"),
        ("** RECOVERY Alert: a/Silo is OK **", "recovery", "** RECOVERY Alert: a/Silo is OK **", "** Alert: a/Silo"),
        ("Silo has recovered", "recovered", "Silo has recovered", "Silo"),
        ("Name could not be resolved", "", "Name could not be resolved", "Name could not be"),
        ("Silo is not OK", "", "Silo is not OK", "Silo is not"),
        ("All files backed up", "", "All files backed up", "All files backed up"),
        ("std::error", "", "std::error", "std::error"),
    ],
)
def test_states_in_titles(title: str, state: str, bare: str, key: str) -> None:
    assert state_in_title(title) == state
    assert bare_title(title) == bare
    assert stateless(bare) == key


@pytest.mark.parametrize(
    "fields",
    [
        {"alert_type": "ALERT_RECOVERY"},
        {"level": "OK"},
        {"severity": "cleared"},
        {"isActive": False},
        {"state": 0},
        {"service_state_id": 0, "status": "odd"},
        {"status": "✅ Up"},
        {"status": "Down ended (now: Up)"},
        {"type": "alert.resolved"},
        {"resolved_at": "2026-03-09T07:00:00Z"},
        {"status": "복구"},
    ],
    ids=str,
)
def test_recoveries(fields: dict[str, Any]) -> None:
    assert event_of({"title": "Silo", **fields}).event_type is EventType.RECOVERY


@pytest.mark.parametrize(
    "fields",
    [
        {"status": 0},
        {"isActive": True},
        {"state": 1},
        {"status": "not resolved"},
        {"status": "OK -> CRITICAL"},
        {"resolved_at": "0001-01-01T00:00:00Z"},
        {"type": "custom"},
    ],
    ids=str,
)
def test_alerts(fields: dict[str, Any]) -> None:
    assert event_of({"title": "Silo", **fields}).event_type is EventType.ALERT


@pytest.mark.parametrize("kind", ["ACKNOWLEDGEMENT", "DOWNTIMESTART", "FLAPPINGSTOP", "CUSTOM"])
def test_other_notifications_make_no_event(kind: str) -> None:
    assert read({"host": "a", "notification_type": kind, "state": "CRITICAL", "output": "x"}).ignored == ["acknowledge"]


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("ALERT_CRITICALITY_CRITICAL", Severity.CRITICAL),
        ("2 - High", Severity.ERROR),
        ("Désastre", Severity.CRITICAL),
        ("Высокая", Severity.ERROR),
        ("警告", Severity.WARNING),
        ("정보", Severity.INFO),
    ],
)
def test_severities_of_other_languages_and_long_names(word: str, severity: Severity) -> None:
    assert named_severity(word) is severity


ZABBIX = {"event": {"id": "1", "name": "Silo", "status": "PROBLEM"}, "host": {"id": "2"}, "trigger": {"id": "3"}}


def zabbix(**event: Any) -> dict[str, Any]:
    return {**ZABBIX, "event": {**ZABBIX["event"], **event}}


def test_unknown_severity_is_a_warning_with_a_remark_unless_the_webhook_names_it() -> None:
    for payload in ({"title": "Silo", "severity": "Purple"}, zabbix(severity="Purple")):
        parsed = read(payload)
        assert (parsed.events[0].severity, parsed.ignored) == (Severity.WARNING, ["unknown severity"])
        parsed = read(payload, values={"severity": {"Purple": "CRITICAL"}})
        assert (parsed.events[0].severity, parsed.ignored) == (Severity.CRITICAL, [])


def test_internal_zabbix_event_ends_with_normal() -> None:
    assert event_of(zabbix(status="Normal")).event_type is EventType.RECOVERY
    assert event_of(zabbix(status="Not supported")).event_type is EventType.ALERT


def test_native_reads_status_or_refuses_it() -> None:
    assert event_of({"event_key": "k", "status": "up"}).event_type is EventType.RECOVERY
    assert event_of({"event_key": "k", "status": "up", "event_type": "ALERT"}).event_type is EventType.ALERT
    assert read({"event_key": "k", "status": "acknowledged"}).ignored == ["acknowledge"]
    (item,) = read({"event_key": "k", "status": "odd"}).bad_items
    assert [fault.path for fault in item.faults] == ["status"]


# --- times ----------------------------------------------------------------------------------------------------

LOCAL = "local time without a zone; set the webhook's option timezone"
FAR = "time far from receipt"


@pytest.mark.parametrize(
    ("written", "zone", "expected", "remark"),
    [
        ("2026-03-09 16:00:00", None, None, LOCAL),
        ("2026-03-09 16:00:00", "Asia/Seoul", datetime(2026, 3, 9, 7, tzinfo=UTC), None),
        ("2026-03-09 03:00:00", "America/New_York", datetime(2026, 3, 9, 7, tzinfo=UTC), None),
        ("2026-03-09 15:00:00 CST", "Asia/Shanghai", datetime(2026, 3, 9, 7, tzinfo=UTC), None),
        ("2026-03-09T07:10:00Z", None, datetime(2026, 3, 9, 7, 10, tzinfo=UTC), None),
        ("2026-03-09T07:10:01Z", None, None, FAR),
        ("2025-03-01T07:10:01Z", None, None, FAR),
        ("9999-12-31T23:59:59Z", None, None, None),
    ],
)
def test_local_and_unlikely_times(
    written: str, zone: str | None, expected: datetime | None, remark: str | None
) -> None:
    for payload in ({"title": "Silo", "timestamp": written}, [{"title": "Silo", "timestamp": written}]):
        parsed = read(payload, **({"timezone": zone} if zone else {}))
        assert parsed.events[0].occurred_at == expected
        assert parsed.ignored == ([remark] if remark else [])


def test_old_start_of_a_vendors_format_is_kept() -> None:
    alert = {"status": "firing", "labels": {"alertname": "Belt"}, "startsAt": "2019-03-09T07:00:00Z"}
    assert event_of({"alerts": [alert]}).occurred_at == datetime(2019, 3, 9, 7, tzinfo=UTC)


def test_native_time_without_offset_is_of_the_webhooks_zone_else_utc() -> None:
    payload = {"event_key": "k", "occurred_at": "2026-03-09T16:00:00"}
    assert event_of(payload, timezone="Asia/Seoul").occurred_at == datetime(2026, 3, 9, 7, tzinfo=UTC)
    assert event_of(payload).occurred_at == datetime(2026, 3, 9, 16, tzinfo=UTC)
