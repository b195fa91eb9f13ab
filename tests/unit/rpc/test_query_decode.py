"""Queries as plain values, with the presence of fields."""

import math
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from event_service._gen.spaceone.api.core.v2 import query_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, webhook_pb2
from event_service.errors import InvalidArgument
from event_service.rpc.query_decode import message_to_dict
from tests.unit.wire.json_values import objects, texts, values
from tests.unit.wire.nesting import nested

filters = st.fixed_dictionaries({}, optional={"k": texts, "v": values, "o": texts}) | st.fixed_dictionaries(
    {}, optional={"key": texts, "value": values, "operator": texts}
)
sorts = st.fixed_dictionaries({}, optional={"key": texts.filter(bool), "desc": st.just(True)})
pages = st.fixed_dictionaries({}, optional={"start": st.integers(1, 2**32 - 1), "limit": st.integers(1, 2**32 - 1)})
some = st.lists(filters, min_size=1, max_size=3)
queries = st.fixed_dictionaries(
    {},
    optional={
        "filter": some, "filter_or": some, "sort": st.lists(sorts, min_size=1, max_size=2), "page": pages,
        "minimal": st.just(True), "count_only": st.just(True), "only": st.lists(texts, min_size=1, max_size=3),
        "keyword": texts.filter(bool), "add_fields": objects, "lookup": st.lists(values, max_size=2),
        "unwind": st.fixed_dictionaries({"path": texts.filter(bool)}, optional={"filter": some}),
    },
)  # fmt: skip
names = st.fixed_dictionaries({}, optional={"k": texts, "n": texts, "date_format": texts.filter(bool)})
stages = st.one_of(
    st.builds(lambda stage: {"limit": stage}, st.integers(-(2**31), 2**31 - 1)),
    st.builds(lambda stage: {"skip": stage}, st.integers(-(2**31), 2**31 - 1)),
    st.builds(lambda stage: {"sort": stage}, st.lists(values, max_size=2)),
    st.builds(lambda stage: {"count": {"name": stage}}, texts.filter(bool)),
    st.builds(lambda stage: {"group": {"keys": stage}}, st.lists(names, min_size=1, max_size=2)),
    st.just({"project": {"exclude_keys": True, "fields": [{"k": "", "n": "x", "o": "size"}]}}),
    st.just({}),
)


@given(queries)
def test_query_to_dict(query: dict[str, Any]) -> None:
    message = json_format.ParseDict({"query": query, "event_id": "e"}, event_pb2.EventQuery())
    assert message_to_dict(message, "") == {"query": as_doubles(query), "event_id": "e"}


@given(st.lists(stages, min_size=1, max_size=4))
def test_stages_to_dict(written: list[dict[str, Any]]) -> None:
    message = json_format.ParseDict({"aggregate": written}, query_pb2.StatisticsQuery())
    assert message_to_dict(message, "query") == {"aggregate": as_doubles(written)}


def as_doubles(value: Any) -> Any:
    """`value` after its numbers were doubles."""
    if isinstance(value, dict):
        return {key: as_doubles(member) for key, member in value.items()}
    if isinstance(value, list):
        return [as_doubles(member) for member in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_oneof_members_present_when_set() -> None:
    message = query_pb2.StatisticsQuery(
        filter=[query_pb2.Filter(k="", o=""), query_pb2.Filter(k="a", v={})],
        aggregate=[query_pb2.StatisticsAggregate(limit=0), query_pb2.StatisticsAggregate(skip=0)],
        page={},
        distinct="",
    )
    assert message_to_dict(message, "query") == {
        "filter": [{"k": "", "o": ""}, {"k": "a", "v": None}],
        "aggregate": [{"limit": 0}, {"skip": 0}],
        "page": {},
    }


def test_request_to_dict() -> None:
    message = webhook_pb2.CreateWebhookRequest(name="n", plugin_info={"plugin_id": "native"})
    message.plugin_info.options.update({"auto_recovery": False})
    read = message_to_dict(message, "")
    assert read == {"name": "n", "plugin_info": {"plugin_id": "native", "options": {"auto_recovery": False}}}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (query_pb2.Query(filter=[{"k": "a", "v": {"number_value": math.nan}}]), "query.filter[0].v"),
        (query_pb2.Query(add_fields={"a": {"b": math.inf}}), "query.add_fields.a.b"),
        (
            query_pb2.Query(unwind={"filter": [{}, {"value": {"number_value": math.inf}}]}),
            "query.unwind.filter[1].value",
        ),
    ],
)
def test_non_finite_number_refused_with_path(query: query_pb2.Query, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        message_to_dict(event_pb2.EventQuery(query=query), "")
    assert caught.value.violations[0].field == field


def test_values_as_deep_as_protobuf_parses() -> None:
    deep = nested("l" * 40)
    message = json_format.ParseDict({"query": {"filter": [{"k": "a", "v": deep}]}}, event_pb2.EventQuery())
    assert (
        message_to_dict(event_pb2.EventQuery.FromString(message.SerializeToString()), "")["query"]["filter"][0]["v"]
        == deep
    )
