"""What somebody has chosen to see, as the address of the page says it, and as a query of the Event API."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from event_service.errors import InvalidArgument
from event_service.query.short_filter import InvalidPredicate, parse_line
from event_service.wire.timestamps import format_timestamp, parse_timestamp

RANGES = {
    "1h": ("Last hour", timedelta(hours=1)),
    "6h": ("Last 6 hours", timedelta(hours=6)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
    "all": ("All time", None),
}
CUSTOM = "custom"
SEVERITIES = ("CRITICAL", "ERROR", "WARNING", "INFO", "NONE", "NOT_AVAILABLE")
TYPES = ("ALERT", "RECOVERY", "ERROR")
PAGE_ROWS = 50

_LAST_PAGE = 100_000


@dataclass(frozen=True)
class Selection:
    """Conditions and a page.

    Attributes:
        q: short filters and words, as typed.
        severities: any of these; () for all.
        range: a name of RANGES, or CUSTOM.
        since, until: ISO 8601, where the range is CUSTOM; "" for no bound.
        page: 1 for the newest events.
        live: new events are shown as they come.
    """

    q: str = ""
    severities: tuple[str, ...] = ()
    event_type: str = ""
    webhook_id: str = ""
    range: str = "24h"
    since: str = ""
    until: str = ""
    page: int = 1
    live: bool = False

    @property
    def is_narrowed(self) -> bool:
        """Whether it leaves anything out of what a webhook, or all of them, have brought in its time."""
        return bool(self.q or self.severities or self.event_type)

    def bounds(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """From when, and until when, events are looked at.

        Raises:
            InvalidArgument: what was typed is no time.
        """
        if self.range == CUSTOM:
            return _moment(self.since, "from"), _moment(self.until, "to")
        length = RANGES[self.range][1]
        return (now - length if length else None), None

    def conditions(self) -> dict[str, Any]:
        """The query but for time and page.

        Raises:
            InvalidArgument: what was typed is no condition.
        """
        try:
            filters, keyword = parse_line(self.q)
        except InvalidPredicate as fault:
            raise InvalidArgument.at("q", str(fault)) from None
        if self.severities:
            filters.append({"k": "severity", "v": list(self.severities), "o": "in"})
        if self.event_type:
            filters.append({"k": "event_type", "v": self.event_type, "o": "eq"})
        if self.webhook_id:
            filters.append({"k": "webhook_id", "v": self.webhook_id, "o": "eq"})
        query: dict[str, Any] = {"filter": filters}
        if keyword:
            query["keyword"] = keyword
        return query

    def query(self, now: datetime) -> dict[str, Any]:
        """The query with its time, without a page.

        Raises:
            InvalidArgument: as `conditions` and `bounds`.
        """
        query = self.conditions()
        since, until = self.bounds(now)
        if since is not None:
            query["filter"].append({"k": "created_at", "v": format_timestamp(since), "o": "datetime_gte"})
        if until is not None:
            query["filter"].append({"k": "created_at", "v": format_timestamp(until), "o": "datetime_lt"})
        return query

    def address(self, path: str = "/", **changes: Any) -> str:
        """The address of the page with some of it changed; on its first page unless that is what changes."""
        there = replace(self, **{"page": 1, **changes})
        pairs = [("q", there.q), *(("severity", severity) for severity in there.severities)]
        pairs += [("type", there.event_type), ("webhook", there.webhook_id)]
        pairs += [("range", there.range if there.range != "24h" else "")]
        if there.range == CUSTOM:
            pairs += [("from", there.since), ("to", there.until)]
        pairs += [("page", str(there.page) if there.page > 1 else ""), ("live", "on" if there.live else "")]
        text = urlencode([(name, value) for name, value in pairs if value])
        return f"{path}?{text}" if text else path

    def narrowed(self, field: str, value: str) -> str:
        """The address with one more condition."""
        quoted = f'"{value}"' if any(character.isspace() for character in value) else value
        return self.address(q=f"{self.q} {field}={quoted}".strip())


def read_selection(parameters: Mapping[str, list[str]]) -> Selection:
    """The selection an address asks for; what makes no sense in it is left out.

    Args:
        parameters: values by name, as `parse_qs` gives them.
    """

    def one(name: str) -> str:
        return parameters.get(name, [""])[0].strip()

    page = one("page")
    chosen = one("range")
    if chosen not in (*RANGES, CUSTOM):
        chosen = CUSTOM if one("from") or one("to") else "24h"
    return Selection(
        q=one("q"),
        severities=tuple(severity for severity in SEVERITIES if severity in parameters.get("severity", ())),
        event_type=one("type") if one("type") in TYPES else "",
        webhook_id=one("webhook"),
        range=chosen,
        since=one("from") if chosen == CUSTOM else "",
        until=one("to") if chosen == CUSTOM else "",
        page=min(max(int(page), 1), _LAST_PAGE) if page.isdecimal() and len(page) < 9 else 1,
        live=one("live") == "on",
    )


def _moment(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        return parse_timestamp(text)
    except ValueError:
        raise InvalidArgument.at(name, "must be a time, such as 2026-01-31T12:00") from None
