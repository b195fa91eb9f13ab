"""Severities, states, timestamps, titles and keys, which all parsers share."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, strategies

from event_service.normalize.fields import clipped, extra_fields, first_line, joined_key, text, texts, trimmed
from event_service.normalize.severities import State, bare_title, named_severity, named_state, priority_severity
from event_service.normalize.timestamps import moment


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-01T12:00:00.123456789Z", (2024, 5, 1, 12, 0, 0, 123000)),
        ("2024-05-01T12:00:00.1234567+02:00", (2024, 5, 1, 10, 0, 0, 123000)),
        ("2024-05-01T12:00:00.123+0000", (2024, 5, 1, 12, 0, 0, 123000)),
        ("2024-05-01 12:00:00 UTC", (2024, 5, 1, 12, 0, 0, 0)),
        ("Wed, 01 May 2024 12:00:00 GMT", (2024, 5, 1, 12, 0, 0, 0)),
        ("Fri, 01 May 2024 14:00:00 +0200", (2024, 5, 1, 12, 0, 0, 0)),
        (1714564800, (2024, 5, 1, 12, 0, 0, 0)),
        ("1714564800", (2024, 5, 1, 12, 0, 0, 0)),
        (1714564800.1239, (2024, 5, 1, 12, 0, 0, 123000)),
        (1714564800123, (2024, 5, 1, 12, 0, 0, 123000)),
        (1714564800123.0, (2024, 5, 1, 12, 0, 0, 123000)),
        (1714564800123456, (2024, 5, 1, 12, 0, 0, 123000)),
        (1714564800123456789, (2024, 5, 1, 12, 0, 0, 123000)),
        (1566248777.677, (2019, 8, 19, 21, 6, 17, 677000)),
    ],
)
def test_supported_time_formats(value: Any, expected: tuple[int, ...]) -> None:
    assert moment(value) == datetime(*expected[:6], microsecond=expected[6], tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-09 07:05:09 +0000 UTC", "2026-03-09T07:05:09+00:00"),
        ("2026-03-09 16:05:09.112013015 +0900 KST m=+0.0123", "2026-03-09T07:05:09.112000+00:00"),
        ("Mon Mar  9 16:05:09 KST 2026", "2026-03-09T07:05:09+00:00"),
        ("Mon, 9 Mar 2026 10:05:09 MSK", "2026-03-09T07:05:09+00:00"),
        ("Monday, 09-Mar-26 07:05:09 GMT", "2026-03-09T07:05:09+00:00"),
        ("Mon Mar 09 2026 02:05:09 GMT-0500 (Eastern Standard Time)", "2026-03-09T07:05:09+00:00"),
        ("09/Mar/2026:08:05:09 +0100", "2026-03-09T07:05:09+00:00"),
        ("March 9th, 2026 at 7:05 p.m. UTC", "2026-03-09T19:05:00+00:00"),
        ("03/09/2026 12:05:09 AM UTC", "2026-03-09T00:05:09+00:00"),
        ("2026-03-09T16:05:09[Asia/Seoul]", "2026-03-09T07:05:09+00:00"),
        ("2026-03-09 02:05:09 America/New_York", "2026-03-09T06:05:09+00:00"),
        ("2026-03-09 16:05:09 UTC+9", "2026-03-09T07:05:09+00:00"),
        ("/Date(1773039909000)/", "2026-03-09T07:05:09+00:00"),
        ("2026-03-09T24:00:00Z", "2026-03-10T00:00:00+00:00"),
        # Local times have no zone: registry.parse uses the webhook's.
        ("2026-03-09", "2026-03-09T00:00:00"),
        ("2026-03-09 07:05:09", "2026-03-09T07:05:09"),
        ("2026.03.09 07:05:09", "2026-03-09T07:05:09"),
        ("09.03.2026 07:05", "2026-03-09T07:05:00"),
        ("19/03/2026 07:05", "2026-03-19T07:05:00"),
        ("3/9/2026 7:05 pm", "2026-03-09T19:05:00"),
        ("2026년 3월 9일 오후 7시 5분 9초", "2026-03-09T19:05:09"),
        ("2026年3月9日 19:05:09", "2026-03-09T19:05:09"),
        ("2026-03-09 07:05:09 CST", "2026-03-09T07:05:09"),  # Chicago, Shanghai or Havana
        ("20260309070509", "2026-03-09T07:05:09"),
        (20260309070509, "2026-03-09T07:05:09"),
        ("202603090705", "2026-03-09T07:05:00"),
    ],
)
def test_written_times_of_tools(value: Any, expected: str) -> None:
    found = moment(value)
    assert found is not None
    assert found.isoformat() == expected


_INSTANTS = strategies.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31), timezones=strategies.just(UTC)).map(  # noqa: DTZ001
    lambda at: at.replace(microsecond=0)
)
_OFFSETS = strategies.integers(-12 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))


@given(at=_INSTANTS, zone=_OFFSETS)
@pytest.mark.parametrize(
    "form",
    [
        "%Y-%m-%dT%H:%M:%S%z",
        "%Y-%m-%d %H:%M:%S %z",
        "%Y/%m/%d %H:%M:%S %z",
        "%d.%m.%Y %H:%M:%S %z",
        "%a, %d %b %Y %H:%M:%S %z",
        "%a %b %d %H:%M:%S %z %Y",
        "%d/%b/%Y:%H:%M:%S %z",
        "%B %d, %Y %I:%M:%S %p GMT%z",
        "%I:%M:%S %p %z, %d-%b-%Y",
    ],
)
def test_every_instant_reads_the_same_in_any_form_and_zone(form: str, at: datetime, zone: timezone) -> None:
    assert moment(at.astimezone(zone).strftime(form)) == at


@given(at=_INSTANTS)
@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_every_unit_since_1970_is_read_as_number_and_text(unit: int, at: datetime) -> None:
    counted = int(at.timestamp()) * unit
    assert moment(counted) == moment(str(counted)) == moment(float(counted)) == at


@given(strategies.one_of(strategies.text(max_size=100), strategies.from_regex(r"\A[0-9:./ TZ+-]{1,40}\Z")))
def test_any_text_is_a_time_or_none(written: str) -> None:
    found = moment(written)
    assert found is None or found.microsecond % 1000 == 0


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        0,
        0.0,
        -5,
        "0",
        "soon",
        True,
        [],
        {},
        "0001-01-01T00:00:00Z",
        "0001-01-01 00:00:00 +0000 UTC",
        "9999-12-31T23:59:59.9999999Z",
        "9999-12-31T23:59:59-05:00",
        "2026",
        "07:05:09",
        "Mar  9 07:05:09",
        "03/09/2026 07:05:09",  # March or September
        "2026-03-09 07:05:09 XYZT",
        "2026-03-09 07:05:09 Nowhere/Land",
        "2026-03-09 25:05:09",
        "2026-02-30 07:05:09",
        float("nan"),
        float("inf"),
        10**30,
        "9" * 400,
    ],
)
def test_invalid_times_are_none(value: Any) -> None:
    assert moment(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" a ", "a"),
        (44, "44"),
        (44.0, "44"),
        (0.5, "0.5"),
        (True, "true"),
        (None, ""),
        ([1], ""),
        ({}, ""),
        (1e300, str(int(1e300))),
    ],
)
def test_a_number_reads_the_same_as_json_and_as_a_double(value: Any, expected: str) -> None:
    assert text(value) == expected


def test_texts_and_extra_fields() -> None:
    assert texts([" a ", "", None, 5.0, "a", {}, []]) == ["a", "5"]
    assert texts("a") == ["a"]
    assert extra_fields(a=" x ", b=None, c=[1, None], d={" k ": 1, "n": {}}, e="", f=False) == {
        "a": "x",
        "c": ["1"],
        "d": {"k": "1"},
        "f": "false",
    }
    assert trimmed({" a ": [" b ", {" c ": 1}]}) == {"a": ["b", {"c": 1}]}


def test_clipped_values() -> None:
    assert (clipped({"a": 1}), clipped([1]), clipped(5)) == ("an object", "a list", "5")
    assert len(clipped("x" * 1000)) < 80


def test_first_line_is_short() -> None:
    assert first_line("  Disk full \nat noon") == "Disk full"
    assert len(first_line("x " * 1000)) <= 250


@pytest.mark.parametrize(
    ("title", "bare"),
    [
        ("[Triggered on {host:web-1}] [P1] Disk", "Disk"),
        ("[Re-Triggered] Disk", "Disk"),
        ("[No Data] Disk", "Disk"),
        ("[FIRING:2] Disk", "Disk"),
        ("[OK]Disk", "Disk"),
        ("Problem: Disk", "Disk"),
        ("RESOLVED:  Disk", "Disk"),
        ("Resolved in 1h 5m 3s: Disk: full", "Disk: full"),
        ("[prod] Disk", "[prod] Disk"),
        ("[Okinawa] Disk", "[Okinawa] Disk"),
        ("Disk [OK]", "Disk [OK]"),
        ("Problematic: Disk", "Problematic: Disk"),
        ("[Alerting]", "[Alerting]"),
        ("", ""),
    ],
)
def test_bare_title_removes_leading_state_marks_only(title: str, bare: str) -> None:
    assert bare_title(title) == bare


def test_severity_and_state_words() -> None:
    assert named_state("Recovered") is State.RESOLVED
    assert named_state(True) is None
    assert named_state(None) is None
    assert named_severity("odd") is None
    assert priority_severity(" p1 ") is priority_severity(1.0) is priority_severity("1")


def test_joined_key_depends_on_part_boundaries() -> None:
    assert joined_key("a", "bc") != joined_key("ab", "c")
    assert joined_key("1:a", "") != joined_key("1", "a")
    assert len(joined_key("\ud83d")) == 32
