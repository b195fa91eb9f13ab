"""The native format, field by field."""

from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.model.event import EventType, Severity
from event_service.normalize import parse
from event_service.normalize.result import Parsed

RECEIVED = datetime(2024, 5, 1, 12, tzinfo=UTC)


def native(payload: Any) -> Parsed:
    return parse("native", payload, {}, {}, RECEIVED)


def fault_paths(parsed: Parsed) -> list[str]:
    return [fault.path for item in parsed.bad_items for fault in item.faults]


def test_event_with_key_only_has_defaults() -> None:
    payload = {"event_key": "disk-7"}
    (event,) = native(payload).events
    assert (event.event_key, event.event_type, event.severity) == ("disk-7", EventType.ALERT, Severity.NONE)
    assert (event.title, event.description, event.rule, event.image_url, event.provider, event.account) == ("",) * 6
    assert (event.resources, event.additional_info, event.occurred_at) == ([], {}, None)
    assert event.raw_data is payload


def test_every_native_field_parsed() -> None:
    (event,) = native(
        {
            "event_key": "k",
            "event_type": "recovery",
            "title": "Disk full",
            "description": "97 %",
            "severity": "not_available",
            "resource": {"name": "web-1", "resource_id": "server-1"},
            "resources": ["db-1"],
            "rule": "disk",
            "image_url": "https://example.com/a.png",
            "provider": "aws",
            "account": "123",
            "additional_info": {"a": 1.0},
            "occurred_at": "2026-01-01T00:00:00.123999+09:00",
        }
    ).events
    assert (event.event_type, event.severity) == (EventType.RECOVERY, Severity.NOT_AVAILABLE)
    assert (event.title, event.description, event.rule) == ("Disk full", "97 %", "disk")
    assert (event.image_url, event.provider, event.account) == ("https://example.com/a.png", "aws", "123")
    assert event.resources == ["db-1", "web-1"]
    assert event.additional_info == {"a": 1.0}
    assert event.occurred_at == datetime(2025, 12, 31, 15, 0, 0, 123000, tzinfo=UTC)


def test_everything_but_raw_data_is_trimmed() -> None:
    payload = {
        " event_key ": " k ",
        "title": "\t t \n",
        "resources": ["", "  ", " x "],
        "resource": {" name ": " y "},
        "additional_info": {" k ": " v ", "l": [" v ", {" k ": [" v "]}]},
    }
    (event,) = native(payload).events
    assert (event.event_key, event.title, event.resources) == ("k", "t", ["x", "y"])
    assert event.additional_info == {"k": "v", "l": ["v", {"k": ["v"]}]}
    assert event.raw_data == payload


def test_null_is_absent_everywhere() -> None:
    names = "event_type title description rule image_url provider account severity resources resource occurred_at"
    (event,) = native({"event_key": "k", "additional_info": None, **dict.fromkeys(names.split())}).events
    assert (event.title, event.provider, event.occurred_at, event.additional_info) == ("", "", None, {})
    assert (event.event_type, event.severity, event.resources) == (EventType.ALERT, Severity.NONE, [])
    assert native({"event_key": "k", "resource": {"name": None}, "resources": [None]}).events[0].resources == []


def test_blank_time_is_absent() -> None:
    assert native({"event_key": "k", "occurred_at": " "}).events[0].occurred_at is None


def test_the_resource_name_is_not_repeated() -> None:
    assert native({"event_key": "k", "resources": ["a", "n"], "resource": {"name": "n"}}).events[0].resources == [
        "a",
        "n",
    ]
    assert native({"event_key": "k", "resources": ["x", "x"]}).events[0].resources == ["x", "x"]


@pytest.mark.parametrize(
    ("member", "path"),
    [
        ({}, "event_key"),
        ({"event_key": " "}, "event_key"),
        ({"event_key": 5}, "event_key"),
        ({"event_key": "k", "event_type": "BOGUS"}, "event_type"),
        ({"event_key": "k", "event_type": 1}, "event_type"),
        ({"event_key": "k", "severity": "BOGUS"}, "severity"),
        ({"event_key": "k", "severity": ""}, "severity"),
        ({"event_key": "k", "title": 1}, "title"),
        ({"event_key": "k", "description": []}, "description"),
        ({"event_key": "k", "rule": {}}, "rule"),
        ({"event_key": "k", "image_url": True}, "image_url"),
        ({"event_key": "k", "provider": 1.5}, "provider"),
        ({"event_key": "k", "account": 123}, "account"),
        ({"event_key": "k", "resources": "x"}, "resources"),
        ({"event_key": "k", "resources": ["x", 5]}, "resources[1]"),
        ({"event_key": "k", "resource": "x"}, "resource"),
        ({"event_key": "k", "resource": {"name": 5}}, "resource.name"),
        ({"event_key": "k", "occurred_at": "yesterday"}, "occurred_at"),
        ({"event_key": "k", "occurred_at": 1700000000}, "occurred_at"),
        ({"event_key": "k", "additional_info": "x"}, "additional_info"),
    ],
)
def test_invalid_native_value_is_fault_with_path(member: dict[str, Any], path: str) -> None:
    alone = native(member)
    assert alone.events == []
    assert fault_paths(alone) == [path]
    assert alone.bad_items[0].raw_data is member
    assert fault_paths(native({"results": [{"event_key": "a"}, member]})) == [f"results[1].{path}"]


def test_all_faults_of_a_member_reported_together() -> None:
    parsed = native({"severity": "x", "occurred_at": "x", "resources": [1, 2]})
    assert set(fault_paths(parsed)) == {"event_key", "severity", "occurred_at", "resources[0]", "resources[1]"}


def test_valid_batch_members_kept_with_own_raw_data() -> None:
    good, bad, last = {"event_key": "a"}, {"event_key": "b", "severity": "x"}, {"event_key": "c"}
    parsed = native({"results": [good, bad, last, 7], "trace": {"id": 1}})
    assert [event.event_key for event in parsed.events] == ["a", "c"]
    assert [event.raw_data for event in parsed.events] == [
        {"results": [good], "trace": {"id": 1}},
        {"results": [last], "trace": {"id": 1}},
    ]
    assert [item.raw_data["results"] for item in parsed.bad_items] == [[bad], [7]]
    assert fault_paths(parsed) == ["results[1].severity", "results[3]"]


def test_bare_list_parsed_as_batch() -> None:
    parsed = native([{"event_key": "a"}, {"event_key": "b", "severity": "x"}, "text"])
    assert [event.raw_data for event in parsed.events] == [{"event_key": "a"}]
    assert fault_paths(parsed) == ["[1].severity", "[2]"]
    assert [item.raw_data for item in parsed.bad_items] == [{"event_key": "b", "severity": "x"}, {"body": "text"}]


def test_empty_batch_makes_no_events() -> None:
    parsed = native({"results": []})
    assert (parsed.events, parsed.bad_items) == ([], [])


def test_results_ignored_beside_event_key() -> None:
    assert len(native({"event_key": "k", "results": "passed"}).events) == 1
    assert fault_paths(native({"results": "passed"})) == ["results"]


@pytest.mark.parametrize("payload", ["text", None, 5, 1.5, True])
def test_non_object_is_bad_item(payload: Any) -> None:
    parsed = native(payload)
    assert fault_paths(parsed) == [""]
    assert parsed.bad_items[0].raw_data == {"body": payload}
