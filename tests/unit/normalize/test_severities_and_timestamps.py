"""Severities, states, timestamps, titles and keys, which all parsers share."""

from datetime import UTC, datetime
from typing import Any

import pytest

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
        ("2024-05-01", (2024, 5, 1, 0, 0, 0, 0)),
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
