"""JSON objects with the usual names, and mappings."""

from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.model.event import EventType, Severity
from tests.unit.normalize.examples import fault_paths, first_event, read


@pytest.mark.parametrize(
    "payload",
    [
        {"title": "Disk full"},
        {"Summary": "Disk full"},
        {"alert_name": "Disk full"},
        {"alert-name": "Disk full"},
        {"message": "Disk full\nat noon"},
        {"subject": " [RESOLVED] Disk full "},
        {"alert": {"name": "Disk full"}},
        {"data": {"title": "Disk full"}, "version": 2},
        {"title": None, "text": "Disk full"},
    ],
)
def test_title_found_under_usual_names(payload: dict[str, Any]) -> None:
    assert first_event(payload).title == "Disk full"


@pytest.mark.parametrize(
    ("payload", "severity"),
    [
        ({"severity": "CRIT"}, Severity.CRITICAL),
        ({"level": "error"}, Severity.ERROR),
        ({"priority": "P3"}, Severity.WARNING),
        ({"priority": 1}, Severity.CRITICAL),
        ({"urgency": "high"}, Severity.ERROR),
        ({"severity": 3}, Severity.WARNING),  # of an unknown scale
        ({"severity": "odd"}, Severity.WARNING),
        ({"severity": "Katastrophe"}, Severity.CRITICAL),
        ({"status": "WARNING"}, Severity.WARNING),
        ({"state": "Down"}, Severity.CRITICAL),
        ({"type": "failure"}, Severity.ERROR),
        ({"state": "CRITICAL", "severity": "low"}, Severity.INFO),
        ({}, Severity.NONE),
        ({"status": "resolved"}, Severity.INFO),
        ({"severity": "not_available"}, Severity.NOT_AVAILABLE),
    ],
)
def test_severities(payload: dict[str, Any], severity: Severity) -> None:
    assert first_event({"title": "t", **payload}).severity is severity


@pytest.mark.parametrize(
    ("payload", "event_type"),
    [
        ({"status": "OK"}, EventType.RECOVERY),
        ({"state": "closed"}, EventType.RECOVERY),
        ({"event_type": "RECOVERY"}, EventType.RECOVERY),
        ({"resolved": True}, EventType.RECOVERY),
        ({"resolved": False}, EventType.ALERT),
        ({"status": "odd", "action": "resolve"}, EventType.RECOVERY),
        ({"status": "down"}, EventType.ALERT),
        ({}, EventType.ALERT),
    ],
)
def test_states(payload: dict[str, Any], event_type: EventType) -> None:
    assert first_event({"title": "t", **payload}).event_type is event_type


def test_an_acknowledgement_is_no_event() -> None:
    assert read({"title": "t", "status": "Acknowledged"}).ignored == ["acknowledge"]


def test_the_key_is_given_or_made_of_title_and_resource() -> None:
    assert first_event({"title": "t", "dedup_key": "d-1"}).event_key == "d-1"
    keys = [
        first_event({"title": title, "host": host}).event_key for title, host in (("t", "a"), ("t", "b"), ("u", "a"))
    ]
    assert len(set(keys)) == 3
    assert first_event({"title": "[RESOLVED] t", "host": "a", "id": 5}).event_key == keys[0]


def test_recovery_does_not_occur_at_start_of_alert() -> None:
    times = {"started_at": 1759000000, "ended_at": 1759000300}
    assert first_event({"title": "t", **times}).occurred_at == datetime(2025, 9, 27, 19, 6, 40, tzinfo=UTC)
    assert first_event({"title": "t", "status": "ok", **times}).occurred_at == datetime(
        2025, 9, 27, 19, 11, 40, tzinfo=UTC
    )
    assert first_event({"title": "t", "status": "ok", "started_at": 1759000000}).occurred_at is None


@pytest.mark.parametrize(
    ("value", "resources"),
    [
        ("web-1", ["web-1"]),
        (["web-1", "", "web-2"], ["web-1", "web-2"]),
        ({"name": "web-1", "id": 5}, ["web-1"]),
        ([{"name": "web-1"}, {"id": 5}], ["web-1", "5"]),
        (7, ["7"]),
    ],
)
def test_resources(value: Any, resources: list[str]) -> None:
    assert first_event({"title": "t", "host": value}).resources == resources


def test_a_list_of_events_is_as_many_events() -> None:
    parsed = read({"events": [{"title": "a"}, {"foo": 1}, {"title": "b"}], "site": 1})
    assert [event.raw_data for event in parsed.events] == [
        {"events": [{"title": "a"}], "site": 1},
        {"events": [{"title": "b"}], "site": 1},
    ]
    assert fault_paths(parsed) == ["events[1].title"]


def mapped(payload: Any, mapping: dict[str, Any], **values: Any) -> Any:
    return read(payload, {"mapping": mapping, "values": values})


def test_mapping_values_take_precedence_over_usual_words() -> None:
    parsed = mapped({"t": "x", "s": "ok"}, {"title": "t", "event_type": "s"}, event_type={"ok": "ALERT"})
    assert parsed.events[0].event_type is EventType.ALERT
    assert mapped({"t": "x", "s": "ok"}, {"title": "t", "event_type": "s"}).events[0].event_type is EventType.RECOVERY
    assert mapped({"t": "x", "s": "ack"}, {"title": "t", "event_type": "s"}).ignored == ["acknowledge"]


def test_mapping_sets_every_field() -> None:
    mapping = {
        "event_key": "k",
        "title": "join(' of ', [t, h])",
        "description": "d",
        "severity": "s",
        "rule": "r",
        "image_url": "i",
        "resources": "[h, k]",
        "provider": "'mine'",
        "account": "to_string(a)",
        "occurred_at": "at",
        "additional_info": "{floor: f, list: l, deep: x}",
    }
    payload = {
        "k": "K", "t": "T", "h": "H", "d": "D", "s": "9", "r": "R", "i": "I", "a": 5, "at": 1759000000,
        "f": 3, "l": [1, "b"], "x": {"y": {"z": 1}, "w": 2},
    }  # fmt: skip
    (event,) = mapped(payload, mapping, severity={"9": "CRITICAL"}).events
    assert (event.event_key, event.title, event.description, event.rule) == ("K", "T of H", "D", "R")
    assert (event.severity, event.image_url, event.resources) == (Severity.CRITICAL, "I", ["H", "K"])
    assert (event.provider, event.account) == ("mine", "5")
    assert event.additional_info == {"floor": "3", "list": ["1", "b"], "deep": {"w": "2"}}
    assert event.raw_data is payload


def test_mapping_members_have_own_raw_data() -> None:
    payload = {"a": {"b": [{"t": "x"}, {"t": ""}, 5], "c": 1}, "d": 2}
    parsed = mapped(payload, {"items": "a.b", "title": "t"})
    assert [event.raw_data for event in parsed.events] == [{"a": {"b": [{"t": "x"}], "c": 1}, "d": 2}]
    assert [item.raw_data for item in parsed.bad_items] == [
        {"a": {"b": [{"t": ""}], "c": 1}, "d": 2},
        {"a": {"b": [5], "c": 1}, "d": 2},
    ]
    assert fault_paths(parsed) == ["a.b[1].event_key", "a.b[2].event_key"]
    filtered = mapped(payload, {"items": "a.b[?t=='x']", "title": "t"})
    assert [event.raw_data for event in filtered.events] == [{"t": "x"}]
    assert payload["a"]["b"][2] == 5


@pytest.mark.parametrize(
    ("mapping", "path"),
    [
        ({"items": "a", "title": "t"}, "options.mapping.items"),
        ({"title": "join(',', t)"}, "title"),
        ({"title": "((("}, "options.mapping.title"),
        ({"title": "nothing"}, "event_key"),
    ],
)
def test_mapping_without_match_is_fault(mapping: dict[str, Any], path: str) -> None:
    assert fault_paths(mapped({"a": 1, "t": 5}, mapping)) == [path]
