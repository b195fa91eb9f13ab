"""The filter form of the list of events: parsed from the page's URL, and converted to a query of the Event API."""

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

MAX_LINE = 4096
"""Characters of the typed filters."""

_LAST_PAGE = 100_000


@dataclass(frozen=True)
class FilterForm:
    """The fields of the form, and the page.

    Attributes:
        q: short filters and keywords, as typed.
        severities: any of these; () for all.
        range: a key of RANGES, or CUSTOM.
        since, until: ISO 8601 if the range is CUSTOM; "" for no bound.
        page: 1 for the newest events.
        live: add new events to the page as they arrive.
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
    def has_filters(self) -> bool:
        """Return True if the form filters by more than webhook and time."""
        return bool(self.q or self.severities or self.event_type)

    def bounds(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """Return the start and end of the time range; None for no bound.

        Raises:
            InvalidArgument: a typed time is invalid.
        """
        if self.range == CUSTOM:
            return _moment(self.since, "from"), _moment(self.until, "to")
        length = RANGES[self.range][1]
        return (now - length if length else None), None

    def base_query(self) -> dict[str, Any]:
        """Return the query without time range and page.

        Raises:
            InvalidArgument: `q` is too long, or holds an invalid filter.
        """
        if len(self.q) > MAX_LINE:
            raise InvalidArgument.at("q", f"has more than {MAX_LINE} characters")
        try:
            filters, keyword = parse_line(self.q)
        except InvalidPredicate as error:
            raise InvalidArgument.at("q", str(error)) from None
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
        """Return the query with the time range, without page.

        Raises:
            InvalidArgument: see `base_query` and `bounds`.
        """
        query = self.base_query()
        since, until = self.bounds(now)
        if since is not None:
            query["filter"].append({"k": "created_at", "v": format_timestamp(since), "o": "datetime_gte"})
        if until is not None:
            query["filter"].append({"k": "created_at", "v": format_timestamp(until), "o": "datetime_lt"})
        return query

    def url(self, path: str = "/", **changes: Any) -> str:
        """Return the URL of the form with changed fields; page 1 unless `page` is one of them."""
        form = replace(self, **{"page": 1, **changes})
        pairs = [("q", form.q), *(("severity", severity) for severity in form.severities)]
        pairs += [("type", form.event_type), ("webhook", form.webhook_id)]
        # The default range is left out of the URL.
        pairs += [("range", form.range if form.range != "24h" else "")]
        if form.range == CUSTOM:
            pairs += [("from", form.since), ("to", form.until)]
        pairs += [("page", str(form.page) if form.page > 1 else ""), ("live", "on" if form.live else "")]
        text = urlencode([(name, value) for name, value in pairs if value])
        return f"{path}?{text}" if text else path

    def url_with(self, field: str, value: str) -> str:
        """Return the URL with one more filter, `field=value`."""
        quoted = f'"{value}"' if any(character.isspace() for character in value) else value
        return self.url(q=f"{self.q} {field}={quoted}".strip())


def parse_filter_form(parameters: Mapping[str, list[str]]) -> FilterForm:
    """Parse the parameters of a URL; ignore invalid ones.

    Args:
        parameters: values by name, as returned by `parse_qs`.
    """

    def first(name: str) -> str:
        return parameters.get(name, [""])[0].strip()

    page = first("page")
    range_ = first("range")
    if range_ not in (*RANGES, CUSTOM):
        range_ = CUSTOM if first("from") or first("to") else "24h"
    return FilterForm(
        q=first("q"),
        severities=tuple(severity for severity in SEVERITIES if severity in parameters.get("severity", ())),
        event_type=first("type") if first("type") in TYPES else "",
        webhook_id=first("webhook"),
        range=range_,
        since=first("from") if range_ == CUSTOM else "",
        until=first("to") if range_ == CUSTOM else "",
        page=min(max(int(page), 1), _LAST_PAGE) if page.isdecimal() and len(page) < 9 else 1,
        live=first("live") == "on",
    )


def _moment(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        return parse_timestamp(text)
    except ValueError:
        raise InvalidArgument.at(name, "must be a time such as 2026-01-31T12:00") from None
