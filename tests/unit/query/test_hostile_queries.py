"""Queries that try to run code, reach another collection or explode are refused with the field."""

from typing import Any

import pytest

from event_service.errors import InvalidArgument
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.regex_rule import PatternFault, checked_pattern
from event_service.query.stat_query import parse_stat_query
from tests.unit.query.corpus import EXPLODING_PATTERNS, HOSTILE_QUERIES


def parse(row: dict[str, Any]) -> None:
    if "list" in row:
        parse_list_query(row["list"], {}, EVENT_FIELDS)
    else:
        parse_stat_query(row["stat"], EVENT_FIELDS)


def test_corpus_is_large_enough() -> None:
    assert len({row["name"] for row in HOSTILE_QUERIES}) >= 80
    assert len(set(EXPLODING_PATTERNS)) >= 60


@pytest.mark.parametrize("row", HOSTILE_QUERIES, ids=[row["name"] for row in HOSTILE_QUERIES])
def test_a_hostile_query_is_refused_for_its_field(row: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(row)
    assert caught.value.violations[0].field == row["refused"]


@pytest.mark.parametrize("pattern", EXPLODING_PATTERNS)
def test_an_exploding_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternFault):
        checked_pattern(pattern)


@pytest.mark.parametrize("operator", ["regex", "regex_in"])
def test_exploding_pattern_refused_in_query(operator: str) -> None:
    for pattern in EXPLODING_PATTERNS:
        value = [pattern] if operator == "regex_in" else pattern
        with pytest.raises(InvalidArgument):
            parse_list_query({"filter": [{"k": "title", "o": operator, "v": value}]}, {}, EVENT_FIELDS)
