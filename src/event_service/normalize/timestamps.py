"""Timestamps of monitoring tools: ISO 8601 in every variety, RFC 1123, seconds to nanoseconds since 1970."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from event_service.normalize.result import Json
from event_service.wire.timestamps import parse_timestamp, truncate

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# "0001-01-01T00:00:00Z", 0 and similar values are placeholders for no time.
_EARLIEST = datetime(1971, 1, 1, tzinfo=UTC)

_SHORTEST_EPOCH = 9  # digits; fewer are a year or a date


def moment(value: Json) -> datetime | None:
    """Return the time in UTC with whole milliseconds; None for values that are no time or a placeholder.

    Args:
        value: text, or a number whose unit (s, ms, us, ns) follows from its size.
    """
    try:
        if type(value) is str:
            found = _written(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = _counted(value)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return found if found > _EARLIEST else None


def _written(written: str) -> datetime:
    if len(written) >= _SHORTEST_EPOCH and written.isascii() and written.isdigit():
        return _counted(int(written[:30]))  # long digit strings take quadratic time
    if written.endswith((" UTC", " GMT")) and written[:1].isdigit():
        written = written[:-4] + "Z"
    try:
        return parse_timestamp(written)
    except ValueError:
        # RFC 1123, as AWS Health sends it. Its weekday may be wrong and is ignored.
        found = parsedate_to_datetime(written)
        return truncate(found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC))


def _counted(number: float) -> datetime:
    # Seconds, ms, us or ns: the ranges do not overlap for times until the year 5138.
    if number < 1e11:
        milliseconds = round(number * 1e6) // 1000  # not number * 1000: 1566248777.677 would lose its last digit
    elif number < 1e14:
        milliseconds = int(number)
    elif number < 1e17:
        milliseconds = int(number) // 10**3
    else:
        milliseconds = int(number) // 10**6
    return _EPOCH + timedelta(milliseconds=milliseconds)
