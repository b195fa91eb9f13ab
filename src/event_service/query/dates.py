"""Dates of a request: strict ISO 8601 for datetime_* operators, any form with a year for date fields."""

import re
from datetime import UTC, datetime, timedelta

from dateutil import parser as dateutil_parser

from event_service.errors import QueryError
from event_service.wire.timestamps import parse_timestamp, truncate

_MAX_LENGTH = 100
_START_OF_YEAR = datetime(2000, 1, 1, tzinfo=UTC)
_HAS_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)|^\d{8}", re.ASCII)
_TIME_DIFFERENCE = re.compile(
    r" ?(?P<base>now(?:/[dwm])?) ?(?P<sign>[+-]) ?(?P<number>[0-9]+)(?P<unit>[smhdw]) ?", re.ASCII
)
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_MOST_DIGITS = 12  # longer numbers leave the years 1 to 9999 in any unit


def iso_date(value: object, at: str) -> datetime:
    """Return the UTC time, in whole ms, of an ISO 8601 string (`2025`, `2025-W01`, `20250101`, `T24:00:00`, ...).

    Raises:
        QueryError: any other value.
    """
    if isinstance(value, str) and len(value) <= _MAX_LENGTH:
        try:
            return parse_timestamp(value)
        except ValueError:
            pass
    raise QueryError.at(at, "must be an ISO 8601 date, such as 2025-01-31T12:00:00Z")


def lenient_date(value: object, at: str) -> datetime:
    """Return the UTC time, in whole ms, of ISO 8601 or of another form with a four-digit year.

    Omitted parts default to their minimum, the offset to UTC.

    Raises:
        QueryError: no date, or one without a year.
    """
    if isinstance(value, str) and len(value) <= _MAX_LENGTH:
        trimmed = value.strip()
        try:
            return parse_timestamp(trimmed)
        except ValueError:
            pass
        # dateutil would fill in a missing year.
        if _HAS_YEAR.search(trimmed):
            moment = _any_form(trimmed)
            if moment is not None:
                return moment
    raise QueryError.at(at, "must be a date, such as 2025-01-31 12:00 or 2025-01-31T12:00:00Z")


def time_difference(value: object, at: str, now: datetime) -> datetime:
    """Return the time of `now`, `now/d`, `now/w` or `now/m`, with at most one `+` or `-` of s, m, h, d or w.

    Days, weeks (from Monday) and months begin in UTC.

    Raises:
        QueryError: another form, or outside the years 1 to 9999.
    """
    if isinstance(value, str):
        try:
            moment = _time_difference(value, now)
        except (OverflowError, ValueError):
            moment = None
        if moment is not None:
            return truncate(moment)
    raise QueryError.at(at, "must be now, now/d, now/w or now/m, optionally with one difference such as - 7d")


def _time_difference(text: str, now: datetime) -> datetime | None:
    match = _TIME_DIFFERENCE.fullmatch(text)
    if match is None:
        return _base(text.strip(), now)
    base = _base(match["base"], now)
    digits = match["number"].lstrip("0") or "0"
    if base is None or len(digits) > _MOST_DIGITS:
        return None
    difference = int(digits) * _UNITS[match["unit"]]
    return base + difference if match["sign"] == "+" else base - difference


def _base(text: str, now: datetime) -> datetime | None:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match text:
        case "now":
            return now.astimezone(UTC)
        case "now/d":
            return midnight
        case "now/w":
            return midnight - timedelta(days=midnight.weekday())
        case "now/m":
            return midnight.replace(day=1)
        case _:
            return None


def _any_form(text: str) -> datetime | None:
    try:
        moment = dateutil_parser.parse(text, default=_START_OF_YEAR, tzinfos=_offset)
        return truncate((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC))
    except (ValueError, OverflowError, TypeError, ArithmeticError):
        return None


def _offset(name: str | None, offset: int | None) -> int | None:
    """Return seconds east of UTC, or None. Zone names other than UTC differ between machines and are refused."""
    if offset is None and name not in {None, "UTC", "GMT", "Z"}:
        raise ValueError(f"unknown timezone {name!r}")
    return offset if name is None else offset or 0
