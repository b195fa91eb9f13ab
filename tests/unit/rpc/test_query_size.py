"""Requests with large queries: bounded, and decoded and parsed in a thread."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import QueryError
from event_service.events.queries import EventQueries
from event_service.identity.principal import Principal, Role
from event_service.query.list_query import parse_list_query
from event_service.query.size import MAX_QUERY_VALUES
from event_service.query.stat_query import parse_stat_query
from event_service.rpc.context import RpcContext
from event_service.rpc.event_servicer import EventServicer
from event_service.rpc.query_decode import decode_query
from event_service.store.event_reader import Page, SharedEventReader

MANY = [f"key-{number}" for number in range(MAX_QUERY_VALUES)]


def request(query: Mapping[str, Any], kind: type[Message] = event_pb2.EventQuery) -> bytes:
    return json_format.ParseDict({"query": query}, kind()).SerializeToString()


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ({"filter": [{"k": "event_key", "o": "in", "v": [*MANY[:-1], "one", "more"]}]}, "query.filter[0].v"),
        (
            {
                "filter": [{"k": "event_key", "o": "in", "v": MANY[:6000]}],
                "filter_or": [{"k": "title", "o": "not_in", "v": MANY[:6000]}],
            },
            "query.filter_or[0].v",
        ),
        ({"filter": [{"k": "raw_data.x", "o": "eq", "v": {"a": [dict.fromkeys(MANY)]}}]}, "query.filter[0].v"),
        ({"filter": [{"k": "title"}] * (MAX_QUERY_VALUES + 1)}, "query.filter"),
        ({"only": ["title"] * (MAX_QUERY_VALUES + 1)}, "query.only"),
        ({"sort": [{"key": "title"}] * (MAX_QUERY_VALUES + 1)}, "query.sort"),
        ({"add_fields": {"title": {"if": {"__in": ["$title", MANY]}, "then": "a", "else": "b"}}}, "query.add_fields"),
        ({"add_fields": dict.fromkeys([*MANY, "one more"], "x")}, "query.add_fields"),
    ],
    ids=["in", "two filters", "object", "filters", "only", "sort", "expression", "add_fields"],
)
async def test_query_with_too_many_values_is_refused(query: dict[str, Any], at: str) -> None:
    with pytest.raises(QueryError, match=f"more than {MAX_QUERY_VALUES} values in the query") as caught:
        await decode_query(event_pb2.EventQuery, request(query), None)
    assert caught.value.violations[0].field == at
    assert caught.value.code == "INVALID_ARGUMENT"


async def test_stat_with_too_many_values_is_refused() -> None:
    keys = [{"k": "title", "n": "t"}] * (MAX_QUERY_VALUES + 1)
    wire = request({"aggregate": [{"group": {"keys": keys}}]}, event_pb2.EventStatQuery)
    with pytest.raises(QueryError, match=r"^query\.aggregate\[0\]\.group\.keys: more than"):
        await decode_query(event_pb2.EventStatQuery, wire, None)


async def test_most_values_are_accepted() -> None:
    query = {"filter": [{"k": "event_key", "o": "in", "v": MANY[:-1]}]}
    fields = await decode_query(event_pb2.EventQuery, request(query), None)
    assert fields == {"query": query}


class Reader:
    """A reader of nothing."""

    async def list(self, *_: Any) -> Page:
        return Page([], 0)

    async def stat(self, _scope: Any, _query: Any, encode: Callable[[dict[str, Any]], Any]) -> Any:
        return encode({"results": []})


@pytest.mark.parametrize("values", [20, 9000])
async def test_large_query_is_decoded_and_parsed_in_a_thread(values: int) -> None:
    in_threads: list[object] = []

    async def run_in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
        in_threads.append(function)
        return function(*arguments)

    manager = EventQueries(cast("SharedEventReader", Reader()), run_in_thread)
    servicer = EventServicer(cast("Any", manager), run_in_thread)
    context = RpcContext("/s/m", {}, principal=Principal(Role.WORKSPACE_OWNER, "d-1", "w-1"))
    query: dict[str, Any] = {"filter": [{"k": "event_key", "o": "in", "v": MANY[:values]}]}
    await servicer.list(request(query), context)
    await servicer.stat(request({**query, "distinct": "title"}, event_pb2.EventStatQuery), context)
    parsers = [function for function in in_threads if function in (parse_list_query, parse_stat_query)]
    assert parsers == ([parse_list_query, parse_stat_query] if values == 9000 else [])
    assert len(in_threads) == (4 if values == 9000 else 0)
