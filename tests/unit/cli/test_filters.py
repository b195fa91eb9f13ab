"""The short filters of the command line."""

from typing import Any

import pytest

from event_service.cli.failures import Failure
from event_service.cli.filters import (
    ALERT_SHORTHAND,
    WEBHOOK_SHORTHAND,
    Shorthand,
    parse_filter,
    parse_filters,
    parse_option,
)


@pytest.mark.parametrize(
    ("text", "key", "value", "operator"),
    [
        ("severity=critical", "severity", "CRITICAL", "eq"),
        ("severity!=INFO", "severity", "INFO", "not"),
        ("severity=critical,error", "severity", ["CRITICAL", "ERROR"], "in"),
        ("type!=RECOVERY,ERROR", "event_type", ["RECOVERY", "ERROR"], "not_in"),
        ("severity~crit", "severity", "crit", "contain"),
        ("title~cpu load", "title", "cpu load", "contain"),
        ("title!~test", "title", "test", "not_contain"),
        ("title=a=b", "title", "a=b", "eq"),
        ("title=", "title", "", "eq"),
        ("title~=", "title", "=", "contain"),
        ("resource=web-1", "resources", "web-1", "eq"),
        ("alert=alert-1", "alert_id", "alert-1", "eq"),
        ("account=0123456789", "account", "0123456789", "eq"),
        ("occurred_at>=2026-01-31", "occurred_at", "2026-01-31", "gte"),
        ("created_at<2026-01-31", "created_at", "2026-01-31", "lt"),
        ("event_key<=m", "event_key", "m", "lte"),
        ("event_key>m", "event_key", "m", "gt"),
        ("raw_data.load>0.5", "raw_data.load", 0.5, "gt"),
        ("raw_data.count=3", "raw_data.count", 3, "eq"),
        ('raw_data.count="3"', "raw_data.count", "3", "eq"),
        ("raw_data.count~3", "raw_data.count", "3", "contain"),
        ("additional_info.done=true", "additional_info.done", True, "eq"),
        ("additional_info.note=null", "additional_info.note", None, "eq"),
        ('additional_info.note="a"b"', "additional_info.note", '"a"b"', "eq"),
        ("additional_info.zone=007", "additional_info.zone", "007", "eq"),
        ("since=2h", "created_at", "now-2h", "timediff_gte"),
        ("until=30m", "created_at", "now-30m", "timediff_lt"),
        ("since=now/d", "created_at", "now/d", "timediff_gte"),
        ("since=2026-01-31", "created_at", "2026-01-31", "datetime_gte"),
        ("until=2026-01-31T12:00:00Z", "created_at", "2026-01-31T12:00:00Z", "datetime_lt"),
        ("stored_at=1", "stored_at", "1", "eq"),
    ],
)
def test_condition(text: str, key: str, value: Any, operator: str) -> None:
    assert parse_filter(text) == {"k": key, "v": value, "o": operator}
    assert type(parse_filter(text)["v"]) is type(value)


def test_conditions_keep_their_order() -> None:
    assert [condition["k"] for condition in parse_filters(["b=1", "a=2"])] == ["b", "a"]


@pytest.mark.parametrize("text", ["severity", "", "=x", "since~2h", "since=", "until> 2h"])
def test_invalid_condition_is_refused(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_filter(text)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("since=yesterday", "'yesterday' is not a time. Use for example since=2h, since=7d or since=2026-01-31."),
        ("until=2026-13-01", "'2026-13-01' is not a time. Use for example until=2h"),
        ("since=now-2y", "'now-2y' is not a time. Use for example since=2h"),
        ("since=99999999999d", "'99999999999d' is not a time. Use for example since=2h"),
        (
            "severity=BAD",
            "severity has no value 'BAD'. Use one of NONE, CRITICAL, ERROR, WARNING, INFO, NOT_AVAILABLE.",
        ),
        ("severity!=error,bad", "severity has no value 'BAD'"),
        ("type=warning", "event_type has no value 'WARNING'. Use one of ALERT, RECOVERY, ERROR."),
    ],
)
def test_impossible_values_are_refused(text: str, said: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_filter(text)
    assert caught.value.message.startswith(said)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("auto_recovery=false", "auto_recovery", False),
        ("duplicate_event_time=300", "duplicate_event_time", 300),
        ("endpoint=grpc://127.0.0.1:5000", "endpoint", "grpc://127.0.0.1:5000"),
        ("project_id=12e45", "project_id", "12e45"),
        ("project_id=0123", "project_id", "0123"),
        ("project_id=12345678901234567890123456789012", "project_id", "12345678901234567890123456789012"),
        ('project_id="42"', "project_id", "42"),
        ('mapping={"title": "a.b"}', "mapping", {"title": "a.b"}),
        ("empty=", "empty", ""),
    ],
)
def test_option(text: str, name: str, value: Any) -> None:
    assert parse_option(text) == (name, value)


@pytest.mark.parametrize("text", ["name", "=value", "mapping={", '"'])
def test_invalid_option_is_refused(text: str) -> None:
    with pytest.raises(Failure):
        parse_option(text)


@pytest.mark.parametrize(
    ("shorthand", "states"),
    [(WEBHOOK_SHORTHAND, "ENABLED, DISABLED"), (ALERT_SHORTHAND, "TRIGGERED, ACKNOWLEDGED, RESOLVED, ERROR")],
    ids=["webhook", "alert"],
)
def test_state_of_another_resource_refused(shorthand: Shorthand, states: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_filter("state=on", shorthand)
    assert str(caught.value) == f"state has no value 'ON'. Use one of {states}."
