"""Timestamps of the API: UTC, whole milliseconds."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import TypeAlias

from dateutil.parser import isoparser

Clock: TypeAlias = Callable[[], datetime]
"""The current time: timezone-aware UTC, whole milliseconds. The service's is the database's, see `DatabaseClock`."""

_common = re.compile(r"\d{4}-\d\d-\d\dT(?!24)\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_any_iso = isoparser(sep="T")


def format_timestamp(moment: datetime) -> str:
    """Return `YYYY-MM-DDTHH:MM:SS.mmmZ`, finer digits truncated. A naive datetime is UTC.

    Raises:
        OverflowError: outside the years 1 to 9999 in UTC.
    """
    if moment.tzinfo is not UTC and moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_timestamp(text: str, zone: tzinfo = UTC) -> datetime:
    """Return the time of an ISO 8601 text in UTC, truncated to milliseconds.

    Beside the usual form: `2025`, `2025-01`, `20250101`, `2025-W01`, `2025-001`, `T24:00:00`, a blank or `t` for the T,
    any offset (`Z`, `+09:00`, `+0900`, `+09`), a comma before the fraction, and a fraction of any length. Without an
    offset the time is of `zone`; omitted parts default to their minimum.

    Raises:
        ValueError: any other text, and times outside the years 1 to 9999 in UTC.
    """
    try:
        if _common.fullmatch(text):  # the stdlib is much faster than dateutil
            return _whole(datetime.fromisoformat(text), zone)
        return _whole(_any_iso.isoparse(text.upper().replace(" ", "T", 1)), zone)
    except OverflowError as error:
        raise ValueError(f"outside the years 1 to 9999: {text!r}") from error


def truncate(moment: datetime) -> datetime:
    """Return the time truncated to milliseconds, as MongoDB stores it."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def utc_now() -> datetime:
    """Return the time of this machine's clock in UTC with whole milliseconds."""
    return truncate(datetime.now(UTC))


def _whole(moment: datetime, zone: tzinfo) -> datetime:
    moment = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
    moment = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return truncate(moment)
