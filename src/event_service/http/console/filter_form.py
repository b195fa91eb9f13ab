"""The filter forms of lists: parsed from the page's URL, and converted to a query of the API."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from event_service.errors import InvalidArgument
from event_service.model.condition import OPEN_STATES, AlertState
from event_service.model.event import EventType
from event_service.query.short_filter import ALERT_SHORTHAND, EVENT_SHORTHAND, InvalidPredicate, Shorthand, parse_line
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
PAGE_ROWS = 50

MAX_LINE = 4096
"""Characters of the typed filters."""

_LAST_PAGE = 100_000


@dataclass(frozen=True)
class FilterForm(ABC):
    """The fields of the form, and the page.

    Attributes:
        q: short filters and keywords, as typed.
        severities: any of these; () for all.
        choice: a key of `choices`.
        webhook_id: only this webhook; "" for all.
        range: a key of RANGES, or CUSTOM.
        since, until: ISO 8601 if the range is CUSTOM; "" for no bound.
        page: 1 for the newest rows.
        live: add new rows to the page as they arrive.
        path: path of the list.
        parts: path of what its pages load later.
        choice_name: name of the parameter of `choice`.
        choices: labels of a further filter.
    """

    q: str = ""
    severities: tuple[str, ...] = ()
    choice: str = ""
    webhook_id: str = ""
    range: str = "all"
    since: str = ""
    until: str = ""
    page: int = 1
    live: bool = False

    path: ClassVar[str]
    parts: ClassVar[str]
    choice_name: ClassVar[str]
    choices: ClassVar[Mapping[str, str]]
    shorthand: ClassVar[Shorthand]

    @property
    def has_filters(self) -> bool:
        """Return True if the form filters by more than webhook and time."""
        return bool(self.q or self.severities or self.choice)

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
            filters, keyword = parse_line(self.q, self.shorthand)
        except InvalidPredicate as error:
            raise InvalidArgument.at("q", str(error)) from None
        if self.severities:
            filters.append({"k": "severity", "v": list(self.severities), "o": "in"})
        filters += self._choice_filters()
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

    @abstractmethod
    def _choice_filters(self) -> list[dict[str, Any]]:
        """Return the filters of `choice`."""

    def url(self, path: str = "", **changes: Any) -> str:
        """Return the URL of the form with changed fields; page 1 unless `page` is one of them.

        Args:
            path: "" for the list.
        """
        form = replace(self, **{"page": 1, **changes})
        pairs = [("q", form.q), *(("severity", severity) for severity in form.severities)]
        pairs += [(form.choice_name, form.choice), ("webhook", form.webhook_id)]
        # The default range is left out of the URL.
        pairs += [("range", form.range if form.range != type(form).range else "")]
        if form.range == CUSTOM:
            pairs += [("from", form.since), ("to", form.until)]
        pairs += [("page", str(form.page) if form.page > 1 else ""), ("live", "on" if form.live else "")]
        text = urlencode([(name, value) for name, value in pairs if value])
        return f"{path or form.path}?{text}" if text else path or form.path

    def live_url(self, shown_at: datetime) -> str:
        """Return the URL of the stream that continues where a page of this time ends; "" if the page is not live."""
        if not self.live:
            return ""
        url = self.url(f"{self.parts}/live", live=False)
        return f"{url}{'&' if '?' in url else '?'}{urlencode({'after': format_timestamp(shown_at)})}"

    def url_with(self, field: str, value: str) -> str:
        """Return the URL with one more filter, `field=value`."""
        quoted = f'"{value}"' if any(character.isspace() for character in value) else value
        return self.url(q=f"{self.q} {field}={quoted}".strip())


@dataclass(frozen=True)
class EventFilterForm(FilterForm):
    """The form of the list of events."""

    range: str = "24h"

    path = parts = "/events"
    choice_name = "type"
    choices: ClassVar[Mapping[str, str]] = {"": "All", **{type_.value: type_.value.capitalize() for type_ in EventType}}
    shorthand = EVENT_SHORTHAND

    def _choice_filters(self) -> list[dict[str, Any]]:
        return [{"k": "event_type", "v": self.choice, "o": "eq"}] if self.choice else []


@dataclass(frozen=True)
class AlertFilterForm(FilterForm):
    """The form of the list of alerts."""

    path = "/"
    parts = "/alerts"
    choice_name = "state"
    choices: ClassVar[Mapping[str, str]] = {
        "": "Open",
        **{state.value: state.value.capitalize() for state in AlertState},
        "ALL": "All",
    }
    shorthand = ALERT_SHORTHAND

    def _choice_filters(self) -> list[dict[str, Any]]:
        if self.choice == "ALL":
            return []
        return [{"k": "state", "v": [self.choice] if self.choice else list(OPEN_STATES), "o": "in"}]


Form = TypeVar("Form", bound=FilterForm)


def parse_filter_form(form: type[Form], parameters: Mapping[str, list[str]]) -> Form:
    """Parse the parameters of a URL; ignore invalid ones.

    Args:
        parameters: values by name, as returned by `parse_qs`.
    """

    def first(name: str) -> str:
        return parameters.get(name, [""])[0].strip()

    page = first("page")
    range_ = first("range")
    if range_ not in (*RANGES, CUSTOM):
        range_ = CUSTOM if first("from") or first("to") else form.range
    return form(
        q=first("q"),
        severities=tuple(severity for severity in SEVERITIES if severity in parameters.get("severity", ())),
        choice=first(form.choice_name) if first(form.choice_name) in form.choices else "",
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
