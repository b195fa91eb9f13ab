"""Dates as callers write them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from event_service.errors import QueryError
from event_service.query.dates import iso_date, lenient_date, time_difference

NOW = datetime(2026, 7, 15, 13, 14, 15, 678_901, tzinfo=UTC)  # a Wednesday


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


ISO = [
    ("2025", utc(2025, 1, 1)),
    ("2025-03", utc(2025, 3, 1)),
    ("2025-03-04", utc(2025, 3, 4)),
    ("20250304", utc(2025, 3, 4)),
    ("2025-W02", utc(2025, 1, 6)),
    ("2025W023", utc(2025, 1, 8)),
    ("2025-W01-1", utc(2024, 12, 30)),
    ("2025-060", utc(2025, 3, 1)),
    ("2025-03-04T05:06:07Z", utc(2025, 3, 4, 5, 6, 7)),
    ("2025-03-04T05:06:07+09:00", utc(2025, 3, 3, 20, 6, 7)),
    ("2025-03-04T05:06:07-0330", utc(2025, 3, 4, 8, 36, 7)),
    ("2025-03-04 05:06", utc(2025, 3, 4, 5, 6)),
    ("20250304T050607Z", utc(2025, 3, 4, 5, 6, 7)),
    ("2025-01-01T24:00:00", utc(2025, 1, 2)),
    ("2025-03-04T05:06:07.1239999999", utc(2025, 3, 4, 5, 6, 7, 123_000)),
    ("2025-03-04T05:06:07,5Z", utc(2025, 3, 4, 5, 6, 7, 500_000)),
]


@pytest.mark.parametrize(("text", "moment"), ISO)
def test_iso_8601_dates_parsed(text: str, moment: datetime) -> None:
    assert iso_date(text, "v") == moment
    assert lenient_date(text, "v") == moment


NOT_ISO: list[Any] = [
    "", " ", "yesterday", " 2025-01-01", "2025-01-01 ", "2025-01-01T10:00:00 Z", "2025-13", "2025-02-30", "2025-W54",
    "2025-01-01T25:00:00", "2025-01-01T10:60", "1/2/2025", "Jan 2025", "2025-01-01T10:00:00+25:00", "20250", "now",
    "0001-01-01T00:00:00+14:00", "9999-12-31T24:00:00", "2025- 1-01", "２０２５", "2025-01-01x10:00", "x" * 1000,
    "2025-01-01T24:00:01", None, 5, 1e9, True, ["2025-01-01"], {"a": 1}, float("nan"),
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_ISO)
def test_other_dates_refused(value: Any) -> None:
    with pytest.raises(QueryError) as caught:
        iso_date(value, "query.filter[0].v")
    assert caught.value.violations[0].field == "query.filter[0].v"


LENIENT = [
    (" 2025-01-02 ", utc(2025, 1, 2)),
    ("2025-01-02 10:00:00 Z", utc(2025, 1, 2, 10)),
    ("2025-01-02 10:00 +0900", utc(2025, 1, 2, 1)),
    ("2025/01/02", utc(2025, 1, 2)),
    ("June 3, 2024 4pm", utc(2024, 6, 3, 16)),
    ("June 2024", utc(2024, 6, 1)),
    ("Mon, 03 Jun 2024 10:00:00 GMT", utc(2024, 6, 3, 10)),
]


@pytest.mark.parametrize(("text", "moment"), LENIENT)
def test_date_fields_are_read_leniently(text: str, moment: datetime) -> None:
    assert lenient_date(text, "v") == moment


@pytest.mark.parametrize(
    "value",
    ["", "10", "10:00", "June", "cpu", "99999999999999999999", "2025-06-01 10:00 XYZ", "2024 2024 2024", 5, None],
)
def test_a_date_needs_its_year_and_a_known_timezone(value: Any) -> None:
    with pytest.raises(QueryError):
        lenient_date(value, "v")


DIFFERENCES = [
    ("now", utc(2026, 7, 15, 13, 14, 15, 678_000)),
    ("  now  ", utc(2026, 7, 15, 13, 14, 15, 678_000)),
    ("now/d", utc(2026, 7, 15)),
    ("now/w", utc(2026, 7, 13)),
    ("now/m", utc(2026, 7, 1)),
    ("now-1s", utc(2026, 7, 15, 13, 14, 14, 678_000)),
    ("now-15m", utc(2026, 7, 15, 12, 59, 15, 678_000)),
    ("now/d+1h", utc(2026, 7, 15, 1)),
    (" now/d - 2d ", utc(2026, 7, 13)),
    ("now/m-1w", utc(2026, 6, 24)),
    ("now/d-000000000000000000000000007d", utc(2026, 7, 8)),
]


@pytest.mark.parametrize(("text", "moment"), DIFFERENCES)
def test_reads_time_differences(text: str, moment: datetime) -> None:
    assert time_difference(text, "v", NOW) == moment


@pytest.mark.parametrize(
    "value",
    [
        "", "NOW", "now/y", "now-", "now-1", "now-1y", "now-5000|", "now|1d", "now - 1 d", "now  -1d", "now-1d-1d",
        "1d", "now-99999999999d", "now+9999999999999w", "now--1d", "now-1.5d", "now-1D", "now-１d", "now\n-1d\n\n", 5,
        None,
    ],
)  # fmt: skip
def test_refuses_other_time_differences(value: Any) -> None:
    with pytest.raises(QueryError):
        time_difference(value, "v", NOW)
