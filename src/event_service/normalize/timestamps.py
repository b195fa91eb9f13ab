"""Timestamps of monitoring tools, the one reader of all parsers.

ISO 8601      2026-12-01T04:32:14.112013015Z   2026-12-01 04:32:14 +0000   2026-12-01T13:32+0900[Asia/Seoul]
RFC 5322, 850 Tue, 01 Dec 2026 04:32:14 GMT    Tuesday, 01-Dec-26 04:32:14 GMT
date, ctime   Tue Dec  1 13:32:14 KST 2026     01/Dec/2026:04:32:14 +0000
Go, Ruby, JS  2026-12-01 04:32:14.11 +0000 UTC m=+0.1    Tue Dec 01 2026 13:32:14 GMT+0900 (KST)
local forms   December 1, 2026 4:32 PM UTC     01.12.2026 05:32    2026년 12월 1일 오후 1:32
counted       1796099534, "1796099534123", 1796099534123456789, 20261201043214
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from event_service.normalize.fields import words
from event_service.normalize.result import Json
from event_service.wire.timestamps import truncate

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# "0001-01-01T00:00:00Z", 0 and 9999-12-31 (.NET's and others' largest) are placeholders for no time.
_EARLIEST_YEAR = 1971
_PLACEHOLDER_YEAR = 9998  # a zone may move 9999-12-31 either way

_LONGEST = 80  # characters
_SHORTEST_EPOCH = 9  # digits; fewer are a year or a date

# The digits of a calendar time would be milliseconds in 1976, or centuries ahead.
_EARLIEST_CALENDAR_YEAR, _LATEST_CALENDAR_YEAR = 1990, 2100
_CALENDAR_DIGITS = frozenset({8, 12, 14, 17})

# Hours east of UTC. Names that several countries use (CST, IST, BST, AST) are left out: such a time is local.
_ZONES: dict[str, tzinfo] = {
    name: timezone(timedelta(hours=hours))
    for hours, names in {
        0: "Z UTC GMT UCT WET",
        1: "CET WEST MEZ WAT",
        2: "CEST EET MESZ SAST CAT",
        3: "EEST MSK TRT EAT",
        3.5: "IRST",
        4: "SAMT GET AZT",
        5: "PKT YEKT UZT",
        5.75: "NPT",
        6: "OMST ALMT BDT",
        7: "ICT WIB KRAT NOVT",
        8: "SGT HKT MYT PHT AWST WITA IRKT",
        9: "KST JST WIT YAKT",
        9.5: "ACST",
        10: "AEST VLAT",
        10.5: "ACDT",
        11: "AEDT MAGT",
        12: "NZST PETT",
        13: "NZDT",
        -3: "BRT ART UYT CLST",
        -4: "EDT CLT",
        -5: "EST CDT COT PET",
        -6: "MDT",
        -7: "MST PDT",
        -8: "PST AKDT",
        -9: "AKST",
        -10: "HST",
        -3.5: "NST",
        -2.5: "NDT",
    }.items()
    for name in names.split()
}
_AMBIGUOUS = words("CST IST BST AST ADT GST SST WST LOCAL LT")

_MONTHS = {
    word: number
    for number, names in enumerate(
        (
            "jan january januar janvier enero",
            "feb february februar février febrero",
            "mar march märz mär mars marzo",
            "apr april avril abril",
            "may mai mayo",
            "jun june juni juin junio",
            "jul july juli juillet julio",
            "aug august août agosto",
            "sep sept september septembre septiembre",
            "oct october okt oktober octobre octubre",
            "nov november novembre noviembre",
            "dec december dez dezember décembre diciembre",
        ),
        start=1,
    )
    for word in names.split()
}
_IGNORED_WORDS = words(
    "mon tue wed thu fri sat sun tues thur thurs monday tuesday wednesday thursday friday saturday sunday"
    " at on of the t um uhr le à de"
)
_MERIDIEMS = {"am": 0, "a": 0, "上午": 0, "오전": 0, "午前": 0, "pm": 12, "p": 12, "下午": 12, "오후": 12, "午後": 12}
_meridiem = "|".join(("[ap]\\.?m\\b\\.?", *(word for word in _MERIDIEMS if not word.isascii())))

_clock = re.compile(
    rf"(?:({_meridiem})\s*)?(?<!\d)(\d{{1,2}}):(\d{{1,2}})(?::(\d{{1,2}})(?:[.,](\d{{1,6}})\d*)?)?(?!\d)"
    rf"\s*({_meridiem})?",
    re.IGNORECASE,
)
_offset = re.compile(r"(?:(?<=\s)|\b(?:GMT|UTC))([+-])(\d{1,2}):?(\d\d)?(?![\d:/.-])", re.I)
_year_first = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})")
_year_last = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})")
_named = re.compile(r"(\d{1,2})[-/.]([^\W\d_]{3,})[-/.](\d{4}|\d\d)")
_day = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")
_dot_net = re.compile(r"/Date\((\d{1,15})(?:[+-]\d{4})?\)/")
_go_monotonic = re.compile(r"\bm=[+-]\S+|\([^)]*\)")
_cjk = str.maketrans(
    {"年": "-", "月": "-", "日": " ", "년": "-", "월": "-", "일": " ", "时": ":", "時": ":", "시": ":"}
) | (str.maketrans({"点": ":", "分": ":", "분": ":", "秒": " ", "초": " ", "，": " ", "[": " ", "]": " "}))
_loose = re.compile(r"(?<=\d[-:])\s+(?=\d)|:(?=\s*$)")


def moment(value: Json, zone: tzinfo | None = None) -> datetime | None:
    """Return a time, truncated to milliseconds; None for values that are no time or a placeholder.

    The time is in UTC. A local time whose zone is not known is returned without one; `registry.parse` then uses the
    webhook's `timezone`.

    Args:
        value: text, or a number whose unit (s, ms, us, ns) follows from its size.
        zone: of local times, for tools that always write them in one.
    """
    try:
        if type(value) is str:
            found = _written(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool):
            whole = int(value)
            found = _from_digits(str(whole)) if whole > 10**10 and whole == value else _counted(value)
        else:
            return None
        if found.tzinfo is None:
            found = found if zone is None else in_utc(found, zone)
        elif found.tzinfo is not UTC:
            found = found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return truncate(found) if _EARLIEST_YEAR <= found.year < _PLACEHOLDER_YEAR else None


def in_utc(local: datetime, zone: tzinfo) -> datetime:
    """Return a local time in UTC.

    Raises:
        OverflowError: outside the years 1 to 9999.
    """
    return local.replace(tzinfo=zone).astimezone(UTC)


def _written(written: str) -> datetime:
    if not written or len(written) > _LONGEST:
        raise ValueError("no time")
    if written.replace(".", "", 1).isdigit():
        return _from_digits(written)
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        return _lenient(written)


def _from_digits(written: str) -> datetime:
    if written.isdigit() and (found := _calendar_time(written)):
        return found
    if len(written.partition(".")[0]) < _SHORTEST_EPOCH:
        raise ValueError("too short for seconds since 1970")
    return _counted(int(written) if written.isdigit() else float(written))


def _calendar_time(digits: str) -> datetime | None:
    """Return the time of YYYYMMDD, YYYYMMDDHHMM, YYYYMMDDHHMMSS or YYYYMMDDHHMMSSmmm, or None."""
    if len(digits) not in _CALENDAR_DIGITS or not _EARLIEST_CALENDAR_YEAR <= int(digits[:4]) < _LATEST_CALENDAR_YEAR:
        return None
    clock = f"T{digits[8:14]}" if digits[8:] else ""
    fraction = f".{digits[14:]}" if digits[14:] else ""
    try:
        return datetime.fromisoformat(f"{digits[:8]}{clock}{fraction}")
    except ValueError:
        return None


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


def _lenient(written: str) -> datetime:
    """Read any order of date, clock and zone; refuse a text with any other word."""
    if counted := _dot_net.fullmatch(written):
        return _counted(int(counted[1]))
    if not written.isascii() or "[" in written:
        written = _loose.sub("", written.translate(_cjk).strip())
    written = _go_monotonic.sub(" ", written)
    clock = _clock.search(written)
    if clock is None:
        raise ValueError("no time of day")
    before, hour, minute, second, fraction, after = clock.groups()
    rest = f"{written[: clock.start()]} {written[clock.end() :]}"
    zone: tzinfo | None = None
    if offset := _offset.search(rest):
        sign, hours, minutes = offset.groups()
        zone = timezone((-1 if sign == "-" else 1) * timedelta(hours=int(hours), minutes=int(minutes or 0)))
        rest = f"{rest[: offset.start()]} {rest[offset.end() :]}"
    meridiem = (before or after or "").lower().replace(".", "")
    year, month, day, zone = _read_date(rest, zone, is_american=bool(meridiem))
    clock_hour = int(hour)
    if meridiem and clock_hour <= 12:
        clock_hour = clock_hour % 12 + _MERIDIEMS[meridiem]
    midnight = datetime(year, month, day, tzinfo=zone)
    if clock_hour > 24 or int(minute) > 59 or int(second or 0) > 60:
        raise ValueError("no time of day")
    return midnight + timedelta(  # 24:00 and leap seconds are the next day and minute
        hours=clock_hour,
        minutes=int(minute),
        seconds=int(second or 0),
        microseconds=int((fraction or "0").ljust(6, "0")),
    )


def _read_date(rest: str, zone: tzinfo | None, *, is_american: bool) -> tuple[int, int, int, tzinfo | None]:
    year = month = day = 0
    for token in re.split(r"[\s,;:]+", rest):
        word = token.lower().strip(".")
        if not word or word in _IGNORED_WORDS:
            continue
        if word.endswith("t") and word[-2:-1].isdigit():
            word = word[:-1]  # the T of ISO 8601 before the clock
        if found := _year_first.fullmatch(word):
            year, month, day = int(found[1]), int(found[3]), int(found[4])
        elif found := _year_last.fullmatch(word):
            year = int(found[4])
            month, day = _month_and_day(int(found[1]), int(found[3]), found[2], is_american=is_american)
        elif (found := _named.fullmatch(word)) and found[2] in _MONTHS:
            day, month, year = int(found[1]), _MONTHS[found[2]], _full_year(found[3])
        elif word in _MONTHS:
            month = _MONTHS[word]
        elif len(word) == 4 and word.isdigit():
            year = int(word)
        elif found := _day.fullmatch(word):
            day = int(found[1])
        elif token.upper() in _ZONES:
            zone = zone or _ZONES[token.upper()]
        elif "/" in token and zone is None:
            zone = _iana_zone(token)
        elif "/" not in token and token.upper() not in _AMBIGUOUS:
            raise ValueError("not a part of a time")
    return year, month, day, zone


def _month_and_day(first: int, second: int, separator: str, *, is_american: bool) -> tuple[int, int]:
    if second > 12 or first == second:
        return first, second
    if first > 12 or separator == ".":
        return second, first
    if is_american:
        return first, second
    raise ValueError("day and month are ambiguous")


def _full_year(written: str) -> int:
    return int(written) if len(written) == 4 else 2000 + int(written)


def _iana_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ZoneInfoNotFoundError) as error:  # OSError: the name of a directory
        raise ValueError("not a time zone") from error
