"""Answers of every generation of remote plugins, and invalid answers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service._gen.spaceone.api.monitoring.plugin import event_pb2
from event_service.model.event import EventType, Severity
from event_service.normalize import plugin_results
from event_service.normalize.plugin_results import read_results
from event_service.normalize.result import MOST_EVENTS, MOST_FIELDS, ParseError
from event_service.wire.varint import varint

RECEIVED = datetime(2025, 5, 6, 7, 8, 9, tzinfo=UTC)


def answer(*results: dict[str, Any]) -> bytes:
    return event_pb2.EventsInfo(results=[event_pb2.EventInfo(**result) for result in results]).SerializeToString()


def test_fields_absent_on_the_wire_have_defaults() -> None:
    (event,) = read_results(answer({"event_key": "k"}), {"a": 1}, RECEIVED).events
    assert (event.event_type, event.severity, event.occurred_at) == (EventType.ALERT, Severity.NONE, None)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2025-05-06T07:00:00.123Z", datetime(2025, 5, 6, 7, 0, 0, 123000, tzinfo=UTC)),
        ("2025-05-06T09:00:00+02:00", None),
        ("2025-05-06T07:00:00", None),
        ("2025-05-06T09:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("yesterdayZ", None),
        ("", None),
    ],
)
def test_plugin_time_accepted_only_if_utc_and_plausible(written: str, read: datetime | None) -> None:
    (event,) = read_results(answer({"event_key": "k", "occurred_at": written}), {}, RECEIVED).events
    assert event.occurred_at == read


def test_a_clock_may_be_some_minutes_ahead() -> None:
    written = (RECEIVED + timedelta(minutes=4)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (event,) = read_results(answer({"event_key": "k", "occurred_at": written}), {}, RECEIVED).events
    assert event.occurred_at == RECEIVED + timedelta(minutes=4)


def test_unknown_severity_number_is_fault() -> None:
    parsed = read_results(answer({"event_key": "k", "severity": 9}), {}, RECEIVED)
    assert parsed.faults == ["plugin.results[0].severity: unknown number 9"]


def test_payload_without_matching_list_kept_whole() -> None:
    payload = {"a": [1], "b": [1, 2], "c": [1, 2]}
    parsed = read_results(answer({"event_key": "k"}, {"event_key": "l"}), payload, RECEIVED)
    assert [event.raw_data for event in parsed.events] == [payload, payload]


def test_invalid_plugin_answer_refused() -> None:
    with pytest.raises(ParseError, match="not an EventsInfo"):
        read_results(b"\xff", {}, RECEIVED)
    with pytest.raises(ParseError, match="more than"):
        read_results(answer(*[{}] * (MOST_EVENTS + 1)), {}, RECEIVED)


@pytest.mark.parametrize(
    ("wire", "problem"),
    [
        (b"\x0a\x00" * (MOST_EVENTS + 101), "more than 10000 events"),
        (b"\x0a" + varint(4 * MOST_FIELDS) + b"\x6a\x00" * 2 * MOST_FIELDS, "more than 1000000 fields"),
        (b"\x0a\x02\x0a\xff", "not an EventsInfo"),
        (b"\x0a\x01", "not an EventsInfo"),
    ],
    ids=["events", "fields", "damaged event", "cut off"],
)
def test_answer_is_checked_before_it_is_parsed(wire: bytes, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[object] = []
    monkeypatch.setattr(plugin_results, "_read", lambda *arguments: parsed.append(arguments))
    with pytest.raises(ParseError, match=problem):
        read_results(wire, {}, RECEIVED)
    assert parsed == []


def test_nan_in_a_struct_is_a_fault_with_its_path() -> None:
    result = event_pb2.EventInfo(event_key="k")
    result.additional_info["n"] = float("nan")
    parsed = read_results(event_pb2.EventsInfo(results=[result]).SerializeToString(), {}, RECEIVED)
    assert parsed.bad_items[0].faults[0].path == "plugin.results[0].additional_info.n"
