"""The forms of ISO 8601 that the API reads, and the one it writes."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.wire.timestamps import format_timestamp, parse_timestamp, truncate


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00.123Z"),
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00.000Z"),
        ("2026-01-01T00:00:00+09:00", "2025-12-31T15:00:00.000Z"),
        ("2026-01-01T00:00:00+0900", "2025-12-31T15:00:00.000Z"),
        ("2026-01-01T00:00:00+09", "2025-12-31T15:00:00.000Z"),
        ("2026-01-01T00:00:00-00:30", "2026-01-01T00:30:00.000Z"),
        ("2026-01-01T00:00:00.123999Z", "2026-01-01T00:00:00.123Z"),
        ("2026-01-01T00:00:00.123456789123+09:00", "2025-12-31T15:00:00.123Z"),
        ("2026-01-01T00:00:00,5", "2026-01-01T00:00:00.500Z"),
        ("2026-01-01t00:00:00z", "2026-01-01T00:00:00.000Z"),
        ("2024-06-01 12:00", "2024-06-01T12:00:00.000Z"),
        ("2024-06-01", "2024-06-01T00:00:00.000Z"),
        ("2025", "2025-01-01T00:00:00.000Z"),
        ("2025-01", "2025-01-01T00:00:00.000Z"),
        ("20250101", "2025-01-01T00:00:00.000Z"),
        ("20250101T000000Z", "2025-01-01T00:00:00.000Z"),
        ("2025-W01", "2024-12-30T00:00:00.000Z"),
        ("2025-W01-2", "2024-12-31T00:00:00.000Z"),
        ("2025-001", "2025-01-01T00:00:00.000Z"),
        ("2025-01-01T24:00:00", "2025-01-02T00:00:00.000Z"),
        ("2025-01-01T24:00:00Z", "2025-01-02T00:00:00.000Z"),
        ("2024-02-29T23:59:59.999Z", "2024-02-29T23:59:59.999Z"),
    ],
)
def test_supported_forms_parsed(text: str, moment: str) -> None:
    assert format_timestamp(parse_timestamp(text)) == moment


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "now", "yesterday", "bad", "12:00", "2025-13-01", "2025-02-29", "2025-01-01T25:00:00", " 2025-01-01",
        "2025-01-01 ", "2025-01-01T10:00:00 Z", "2025-01-01x10:00:00", "2025-01-01T10:00:00+24:00", "2025-01-01T",
        "2025-01-01T10:00:60Z", "٢٠٢٥-٠١-٠١", "2025-01-01T10:00:00\x00", "1735689600", "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00", "9999-12-31T24:00:00", "\ud800", "2025-01-01T10:00:00.Z", "2025-W54", "-2025",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_timestamp(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_formatted_time_parses_back(moment: datetime) -> None:
    text = format_timestamp(moment)
    assert len(text) == 24
    assert parse_timestamp(text) == truncate(moment)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        moment = parse_timestamp(text)
    except ValueError:
        return
    assert moment.tzinfo is UTC
    assert moment.microsecond % 1000 == 0


def test_any_timezone_is_written_as_utc() -> None:
    moment = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    assert format_timestamp(moment) == "2026-01-01T00:00:00.000Z"
    assert format_timestamp(moment.replace(tzinfo=None)) == "2026-01-01T09:00:00.000Z"
