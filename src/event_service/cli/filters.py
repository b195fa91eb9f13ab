"""The short filters of `query/short_filter.py` as arguments of the command line, and its options."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from event_service.cli.failures import USAGE, Failure
from event_service.query import short_filter
from event_service.query.short_filter import EVENT_WORDS, HELP, NUMBER, WEBHOOK_WORDS, InvalidPredicate

__all__ = ["EVENT_WORDS", "HELP", "WEBHOOK_WORDS", "parse_filter", "parse_filters", "parse_option"]


def parse_filter(text: str, words: Mapping[str, str] = EVENT_WORDS) -> dict[str, Any]:
    """One condition as a Filter of the query language: {"k", "v", "o"}.

    Args:
        words: other names of fields.

    Raises:
        Failure: it has no operator, or what stands beside it makes no sense.
    """
    try:
        return short_filter.parse_filter(text, words)
    except InvalidPredicate as fault:
        raise Failure(str(fault), HELP, exit_code=USAGE) from None


def parse_filters(texts: Sequence[str], words: Mapping[str, str] = EVENT_WORDS) -> list[dict[str, Any]]:
    """Every condition, in the order given."""
    return [parse_filter(text, words) for text in texts]


def parse_option(text: str) -> tuple[str, Any]:
    """`name=value` of --option: true, false, numbers and JSON in brackets or quotes mean themselves, the rest is text.

    Long digit strings and what merely looks like a number (`0123`, `12e4`) stay text: ids often do.

    Raises:
        Failure: there is no name or no `=`.
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
