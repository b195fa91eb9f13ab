"""One HTTP connection, fed with bytes."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from event_service.http.connection import BoundedConnection

Arrived = tuple[str, str, bytes]  # method, path with query, body


class Wire(asyncio.Transport):
    """A transport that keeps the written bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Exchange:
    """A connection, and the requests that its application received."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.headers: list[dict[str, str]] = []
        self.wire = Wire()
        self._state = ServerState()
        config = uvicorn.Config(
            self._answer, interface="asgi3", ws="none", lifespan="off", log_config=None, proxy_headers=False
        )
        self._connection = BoundedConnection(config, self._state, {})
        self._connection.connection_made(self.wire)

    async def feed(self, parts: Iterable[bytes]) -> None:
        """Pass each part as one read of the socket; wait for all responses."""
        for part in parts:
            self._connection.data_received(part)
        async with asyncio.timeout(5):
            while self._state.tasks:
                await asyncio.wait(self._state.tasks)
        self._connection.connection_lost(None)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.arrived.append((request.method, request.url.path, await request.body()))
        self.headers.append(dict(request.headers))
        await Response("ok")(scope, receive, send)


# --- upgrade offers are ignored (RFC 9110, 7.8) -----------------------------------------------------------------------


def offering(protocol: str, framing: bytes, *more: bytes) -> bytes:
    lines = [b"POST /x HTTP/1.1", b"Host: h", b"Connection: Upgrade, HTTP2-Settings", f"uPgrade: {protocol}".encode()]
    return b"\r\n".join([*lines, *more, framing])


COUNTED = b"Content-Length: 6\r\n\r\nGET / "
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n3\r\nGET\r\n5;x=y\r\n / HT\r\n0\r\n\r\n"
BARE = b"\r\n"
SEVERAL = (
    offering("h2c", COUNTED, b"HTTP2-Settings: AAMAAABk", b"Empty:")
    + offering("TLS/1.2", CHUNKED)
    + offering("websocket", BARE)
    + b"GET /last HTTP/1.1\r\nHost: h\r\n\r\n"
)
ARRIVED = [("POST", "/x", b"GET / "), ("POST", "/x", b"GET / HT"), ("POST", "/x", b""), ("GET", "/last", b"")]


async def test_upgrade_offers_are_ignored_at_any_split() -> None:
    for cut in range(len(SEVERAL)):
        exchange = Exchange()
        await exchange.feed([SEVERAL[:cut], SEVERAL[cut:]])
        assert exchange.arrived == ARRIVED, SEVERAL[:cut]
        assert exchange.wire.written.count(b"HTTP/1.1 200 OK") == len(ARRIVED)


async def test_upgrade_offers_are_ignored_byte_by_byte() -> None:
    exchange = Exchange()
    await exchange.feed(SEVERAL[at : at + 1] for at in range(len(SEVERAL)))
    assert exchange.arrived == ARRIVED


async def test_other_headers_of_an_upgrade_offer_are_kept() -> None:
    exchange = Exchange()
    await exchange.feed([offering("h2c", COUNTED, b"Empty:", b"X: \xff y"), offering("h2c", COUNTED)])
    assert exchange.headers[0] == {
        "host": "h",
        "connection": "Upgrade, HTTP2-Settings",
        "empty": "",
        "x": "\xff y",
        "content-length": "6",
    }


async def test_upgrade_offer_in_http_1_0_closes_the_connection() -> None:
    exchange = Exchange()
    await exchange.feed([offering("h2c", COUNTED).replace(b"HTTP/1.1", b"HTTP/1.0")])
    assert exchange.arrived == ARRIVED[:1]
    assert exchange.wire.closed


@pytest.mark.parametrize(
    "request_",
    [
        b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
        offering("h2c", b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
)
async def test_connect_and_ambiguous_lengths_are_refused(request_: bytes) -> None:
    exchange = Exchange()
    await exchange.feed([request_])
    assert exchange.arrived == []
    assert exchange.wire.written.startswith(b"HTTP/1.1 400 ")
    assert exchange.wire.closed


# --- large heads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [32_768, 262_144])
@pytest.mark.parametrize(
    "head", [b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n" % (b"x" * 66_000), b"GET / HTTP/1.1\r\nX: " + b"x" * 66_000]
)
async def test_too_large_heads_are_answered_431(head: bytes, read: int) -> None:
    exchange = Exchange()
    await exchange.feed(head[at : at + read] for at in range(0, len(head), read))
    assert exchange.wire.written.startswith(b"HTTP/1.1 431 ")
    assert exchange.wire.written.count(b"HTTP/1.1 ") == 1
