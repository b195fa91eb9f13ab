"""Trailers always reach the caller: ASCII, cut, and within what a client accepts."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.errors import Unauthenticated
from event_service.rpc.context import MAX_TRAILER_BYTES, RpcContext
from tests.unit.rpc.serving import EVERYBODY


def size(context: RpcContext) -> int:
    return sum(len(name) + len(value) + 32 for name, value in context.trailers)


def test_a_value_is_percent_encoded_where_it_is_not_ascii() -> None:
    context = RpcContext("/s/m", {})
    assert context.add_trailer("event-error", "제목 100 %\n: x")
    assert context.trailers == [("event-error", "%EC%A0%9C%EB%AA%A9 100 %25%0A: x")]
    assert unquote(context.trailers[0][1]) == "제목 100 %\n: x"


@given(st.lists(st.text()), st.integers(0, 30))
def test_trailers_are_printable_and_bounded(values: list[str], limit: int) -> None:
    context = RpcContext("/s/m", {})
    context.add_trailers("event-error", values, limit)
    assert size(context) <= MAX_TRAILER_BYTES + 100
    assert all(value.isascii() and (not value or value.isprintable()) for _, value in context.trailers)
    told = [value for name, value in context.trailers if name == "event-error"]
    more = [int(value) for name, value in context.trailers if name == "event-error-more"]
    assert len(told) + sum(more) == len(values)


def test_what_does_not_fit_is_counted() -> None:
    context = RpcContext("/s/m", {})
    context.add_trailers("event-id", ["event-0123456789ab"] * 30, 20)
    context.add_trailers("event-error", ["\U0001f600" * 1000] * 100, 50)
    assert context.trailers[20] == ("event-id-more", "10")
    assert size(context) <= MAX_TRAILER_BYTES + 100
    assert context.trailers[-1][0] == "event-error-more"


def test_nobody_is_not_a_caller() -> None:
    context = RpcContext("/s/m", {})
    with pytest.raises(Unauthenticated):
        _ = context.caller
    context.principal = EVERYBODY.authenticate({})
    assert context.caller is context.principal
