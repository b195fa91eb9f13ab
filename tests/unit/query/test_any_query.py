"""Any request is parsed, or refused with a field path."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.errors import InvalidArgument
from event_service.query.fields import EVENT_FIELDS, WEBHOOK_FIELDS, FieldSet
from event_service.query.list_query import ListQuery, parse_list_query
from event_service.query.stat_query import StatQuery, parse_stat_query
from tests.unit.query.hostile import ANYTHING, FILTER, LIST_QUERIES, STAT_QUERIES

FIELD_SETS = st.sampled_from([EVENT_FIELDS, WEBHOOK_FIELDS])


def outcome(parse: Any, *arguments: Any) -> ListQuery | StatQuery | InvalidArgument:
    """Return the tree, or the error."""
    try:
        tree: ListQuery | StatQuery = parse(*arguments)
    except InvalidArgument as error:
        return error
    return tree


def understood(parse: Any, *arguments: Any) -> None:
    """Pass if the request is parsed, or refused with a path into the query."""
    result = outcome(parse, *arguments)
    if isinstance(result, InvalidArgument):
        assert result.code == "INVALID_ARGUMENT"
        assert result.violations
        assert result.violations[0].field.split(".")[0].split("[")[0] in {"query", "aggregate"}


@given(LIST_QUERIES, FIELD_SETS)
def test_any_list_query(query: Any, fields: FieldSet) -> None:
    understood(parse_list_query, query, {}, fields)


@given(STAT_QUERIES, FIELD_SETS)
def test_any_stat_query(query: Any, fields: FieldSet) -> None:
    understood(parse_stat_query, query, fields)


@given(FILTER)
def test_any_filter(item: Any) -> None:
    understood(parse_list_query, {"filter": [item]}, {}, EVENT_FIELDS)


@given(ANYTHING)
def test_anything_as_query(query: Any) -> None:
    understood(parse_list_query, query, {}, EVENT_FIELDS)
    understood(parse_stat_query, query, EVENT_FIELDS)


@given(st.dictionaries(st.sampled_from(["title", "resource", "nofield", "$where", "a\0b"]), st.text(max_size=5)))
def test_any_request_fields(equals: dict[str, str]) -> None:
    result = outcome(parse_list_query, {}, equals, EVENT_FIELDS)
    assert not isinstance(result, InvalidArgument) or result.violations[0].field in equals


@pytest.mark.parametrize("at", ["filter", "filter_or", "sort", "only", "aggregate", "lookup"])
@pytest.mark.parametrize("value", ["x", 1, True, {"k": "title"}, [None], ["x"], [1], [[]]])
def test_list_of_wrong_types(at: str, value: Any) -> None:
    parse = parse_stat_query if at == "aggregate" else lambda query, fields: parse_list_query(query, {}, fields)
    with pytest.raises(InvalidArgument):
        parse({at: value}, EVENT_FIELDS)
