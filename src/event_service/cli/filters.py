"""Command line arguments: the short filters of `query/short_filter.py`, and name=value options."""

import json
from collections.abc import Sequence
from typing import Any

from event_service.cli.failures import USAGE, Failure
from event_service.query import short_filter
from event_service.query.short_filter import (
    ALERT_SHORTHAND,
    EVENT_SHORTHAND,
    HELP,
    NUMBER,
    WEBHOOK_SHORTHAND,
    InvalidPredicate,
    Shorthand,
)

__all__ = [
    "ALERT_SHORTHAND",
    "EVENT_SHORTHAND",
    "HELP",
    "WEBHOOK_SHORTHAND",
    "Shorthand",
    "list_query",
    "parse_filter",
    "parse_filters",
    "parse_option",
]


def parse_filter(text: str, shorthand: Shorthand = EVENT_SHORTHAND) -> dict[str, Any]:
    """Parse one condition to a Filter of the query language: {"k", "v", "o"}.

    Raises:
        Failure: the operator is missing, or the value does not fit the field.
    """
    try:
        return short_filter.parse_filter(text, shorthand)
    except InvalidPredicate as fault:
        raise Failure(str(fault), HELP, exit_code=USAGE) from None


def parse_filters(texts: Sequence[str], shorthand: Shorthand = EVENT_SHORTHAND) -> list[dict[str, Any]]:
    return [parse_filter(text, shorthand) for text in texts]


def list_query(
    conditions: Sequence[str],
    shorthand: Shorthand,
    *,
    start: int = 1,
    limit: int | None = None,
    sort: Sequence[str] = (),
    keyword: str = "",
) -> dict[str, Any]:
    """Return a Query of the query language.

    Args:
        sort: fields, with a leading - for descending order.
    """
    query: dict[str, Any] = {"filter": parse_filters(conditions, shorthand)}
    query["page"] = {"start": start, **({"limit": limit} if limit else {})}
    if sort:
        query["sort"] = [{"key": key.removeprefix("-"), "desc": key.startswith("-")} for key in sort]
    if keyword:
        query["keyword"] = keyword
    return query


def parse_option(text: str) -> tuple[str, Any]:
    """Parse `name=value` of --option. true, false, null, numbers, objects, lists and quoted strings are JSON.

    Long digit strings, `0123` and `12e4` stay text, since they may be ids.

    Raises:
        Failure: the name or `=` is missing, or the JSON is not valid.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Failure(f"{text!r} is not of the form name=value.", exit_code=USAGE)
    short_number = NUMBER.fullmatch(value) and len(value) <= 12
    if short_number or value in ("true", "false", "null") or value[:1] in ('"', "{", "["):
        try:
            return name, json.loads(value)
        except ValueError as error:
            raise Failure(f"The value of {name} is not JSON: {error}.", exit_code=USAGE) from error
    return name, value
