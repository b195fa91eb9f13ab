"""Command line arguments: the short filters of `query/short_filter.py`, and name=value options."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from event_service.cli.failures import USAGE, Failure
from event_service.query import short_filter
from event_service.query.short_filter import EVENT_WORDS, HELP, NUMBER, WEBHOOK_WORDS, InvalidPredicate

__all__ = ["EVENT_WORDS", "HELP", "WEBHOOK_WORDS", "parse_filter", "parse_filters", "parse_option"]


def parse_filter(text: str, words: Mapping[str, str] = EVENT_WORDS) -> dict[str, Any]:
    """Parse one condition to a Filter of the query language: {"k", "v", "o"}.

    Args:
        words: short names of fields.

    Raises:
        Failure: the operator is missing, or the value does not fit the field.
    """
    try:
        return short_filter.parse_filter(text, words)
    except InvalidPredicate as fault:
        raise Failure(str(fault), HELP, exit_code=USAGE) from None


def parse_filters(texts: Sequence[str], words: Mapping[str, str] = EVENT_WORDS) -> list[dict[str, Any]]:
    return [parse_filter(text, words) for text in texts]


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
