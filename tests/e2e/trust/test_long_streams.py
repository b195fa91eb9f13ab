"""Streams end when their token expires or its key is removed."""

import time
from collections.abc import Callable

import grpc
import httpx
import pytest

from event_service._gen.event_service.v1 import events_pb2
from event_service.http.console.session import TOKEN_COOKIE
from tests.e2e.trust.conftest import Trust

pytestmark = pytest.mark.xdist_group("trust")

WATCH = "/event_service.v1.Events/Watch"
PATIENCE = 30.0  # seconds


def end_of_watch(trust: Trust, token: str, *, once_told: Callable[[], None] = lambda: None) -> grpc.RpcError:
    """Return the code that ends a watch. `once_told` is called when it has started."""
    with grpc.insecure_channel(trust.plain.grpc_address) as channel:
        watch = channel.unary_stream(WATCH, events_pb2.WatchRequest.SerializeToString)
        call = watch(events_pb2.WatchRequest(), metadata=(("token", token),), timeout=PATIENCE)
        next(call)
        once_told()
        with pytest.raises(grpc.RpcError) as ended:
            for _ in call:
                pass
        return ended.value


def test_a_watch_ends_when_its_token_expires(trust: Trust) -> None:
    token = trust.realm.token("DOMAIN_ADMIN", exp=int(time.time()) + 3)
    assert end_of_watch(trust, token).code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_watch_ends_with_the_key_that_signed_for_it(trust: Trust) -> None:
    realm = trust.realm
    others = [key for name, key in realm.keys.items() if name != "domain-1"]
    token = realm.token("DOMAIN_ADMIN", "domain-1")
    try:
        ended = end_of_watch(trust, token, once_told=lambda: realm.publish(*others))
    finally:
        realm.publish(*realm.keys.values())
    assert ended.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_live_view_ends_when_its_token_expires(trust: Trust) -> None:
    cookies = {TOKEN_COOKIE: trust.realm.token("DOMAIN_ADMIN", exp=int(time.time()) + 3)}
    with httpx.Client(base_url=f"http://{trust.plain.http_address}", cookies=cookies, timeout=PATIENCE) as browser:
        with browser.stream("GET", "/events/live") as told:
            assert told.status_code == 200
            assert "retry:" in told.read().decode()  # returns at its end
        again = browser.get("/events/live")
    assert (again.status_code, again.headers["location"].split("?")[0]) == (303, "/sign-in")
