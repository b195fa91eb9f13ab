"""Trailers always reach the caller: ASCII, cut, and within what a client accepts."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.errors import Unauthenticated
from event_service.rpc.context import MAX_TRAILER_BYTES, RpcContext
from tests.unit.rpc.serving import NO_AUTHENTICATION


def size(context: RpcContext) -> int:
    return sum(len(name) + len(value) + 32 for name, value in context.trailers)


def test_trailer_percent_encoded_unless_printable_ascii() -> None:
    context = RpcContext("/s/m", {})
    assert context.add_trailer("event-error", "제목 100 %\n: x")
    assert context.trailers == [("event-error", "%EC%A0%9C%EB%AA%A9 100 %25%0A: x")]
    assert unquote(context.trailers[0][1]) == "제목 100 %\n: x"


@given(st.lists(st.text()), st.integers(0, 30))
def test_trailers_printable_and_within_limit(values: list[str], limit: int) -> None:
    context = RpcContext("/s/m", {})
    context.add_trailers("event-error", values, limit)
    assert size(context) <= MAX_TRAILER_BYTES + 100
    assert all(value.isascii() and (not value or value.isprintable()) for _, value in context.trailers)
    received = [value for name, value in context.trailers if name == "event-error"]
    more = [int(value) for name, value in context.trailers if name == "event-error-more"]
    assert len(received) + sum(more) == len(values)


def test_trailers_left_out_are_counted() -> None:
    context = RpcContext("/s/m", {})
    context.add_trailers("event-id", ["event-0123456789ab"] * 30, 20)
    context.add_trailers("event-error", ["\U0001f600" * 1000] * 100, 50)
    assert context.trailers[20] == ("event-id-more", "10")
    assert size(context) <= MAX_TRAILER_BYTES + 100
    assert context.trailers[-1][0] == "event-error-more"


def test_caller_without_principal_is_unauthenticated() -> None:
    context = RpcContext("/s/m", {})
    with pytest.raises(Unauthenticated):
        _ = context.caller
    context.principal = NO_AUTHENTICATION.authenticate({})
    assert context.caller is context.principal
