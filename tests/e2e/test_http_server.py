"""The HTTP server on real sockets, with slow, greedy and disconnecting clients; the managers are in memory."""

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.events.delivery import CreateRequest
from event_service.events.write_request import CreateResult
from event_service.http.connection import BoundedConnection
from event_service.http.server import HttpServer
from event_service.settings import Settings
from tests.unit.http.fakes import ACCESS_KEY, PROJECT, TOKEN, WEBHOOK_ID, FakeCall, HttpService

PATH = f"/monitoring/v1/webhook/{WEBHOOK_ID}/{ACCESS_KEY}/events"
LIST = "/spaceone.api.monitoring.v1.Event/list"


class Impatient(BoundedConnection):
    head_seconds = 0.3
    unread_seconds = 0.5


@asynccontextmanager
async def serving(service: HttpService, connection: type[BoundedConnection] = Impatient) -> AsyncIterator[HttpServer]:
    server = HttpServer(service.app(), "127.0.0.1:0", connection)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


def client_of(server: HttpServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=10)


async def send(server: HttpServer, data: bytes, *, wait: float = 5) -> bytes:
    """Send raw bytes and read until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), wait)
    finally:
        writer.close()


def head(length: int, more: str = "") -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n{more}\r\n".encode()


async def test_two_requests_on_one_connection() -> None:
    async with serving(HttpService()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(head(7) + b'{"a":1}')
            answer = await reader.readuntil(b"{}")
            assert answer.startswith(b"HTTP/1.1 200 OK")
        writer.close()


async def test_an_offer_to_upgrade_is_declined_and_its_body_read() -> None:
    """As Java's HttpClient and `curl --http2` make it with every first request."""
    service = HttpService()
    async with serving(service) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            writer.write(head(7, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"))
            await asyncio.sleep(0.05)
            writer.write(b'{"a":1}')
            answer = await asyncio.wait_for(reader.readuntil(b"{}"), 5)
            assert answer.startswith(b"HTTP/1.1 200 OK")
        writer.close()
    assert len(service.events.requests) == 2


async def test_headers_that_do_not_come() -> None:
    async with serving(HttpService()) as server:
        started = time.monotonic()
        assert await send(server, b"") == b""
        answer = await send(server, b"GET /healthz HTTP/1.1\r\nHost: h\r\n")
        assert 0.5 < time.monotonic() - started < 3
    check_refusal(answer, b"408", "ERROR_REQUEST_TIMEOUT")


async def test_headers_that_trickle_on_a_used_connection() -> None:
    async with serving(HttpService()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"}")
        writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
        answer = await asyncio.wait_for(reader.read(), 3)
        writer.close()
    check_refusal(answer, b"408", "ERROR_REQUEST_TIMEOUT")


async def test_headers_without_end() -> None:
    async with serving(HttpService()) as server:
        answer = await send(server, b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000)
    check_refusal(answer, b"431", "ERROR_INVALID_PARAMETER")


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00", b"HELLO\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
)
async def test_what_is_not_http(garbage: bytes) -> None:
    async with serving(HttpService()) as server:
        answer = await send(server, garbage)
    check_refusal(answer, b"400", "ERROR_INVALID_PARAMETER")


def check_refusal(answer: bytes, status: bytes, code: str) -> None:
    lines, _, body = answer.partition(b"\r\n\r\n")
    assert lines.startswith(b"HTTP/1.1 " + status)
    assert b"x-request-id: " in lines.lower()
    assert json.loads(body)["detail"]["code"] == code


async def test_a_body_that_does_not_come() -> None:
    service = HttpService(settings=Settings(http_body_seconds=0.3))
    async with serving(service) as server:
        started = time.monotonic()
        answer = await send(server, head(100) + b'{"a"')
        assert time.monotonic() - started < 3
    check_refusal(answer, b"408", "ERROR_REQUEST_TIMEOUT")
    assert b"connection: close" in answer.lower()
    assert not service.events.requests


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_client_hears_that_its_body_is_too_large(chunked: bool) -> None:
    body = b" " * 13_000_000

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1_000_000):
            yield body[start : start + 1_000_000]

    async with serving(HttpService()) as server, client_of(server) as client:
        headers = {"X-Auth-Token": f"{WEBHOOK_ID}:{ACCESS_KEY}"}
        content = chunks() if chunked else body
        answer = await client.post(f"/V1.0/{PROJECT}/events", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (413, "APIGW.0201")


async def test_expect_continue_is_refused_for_a_large_body() -> None:
    async with serving(HttpService()) as server:
        answer = await send(server, head(20_000_000, "Expect: 100-continue\r\n"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


async def test_bodies_that_are_too_large_take_no_memory() -> None:
    service = HttpService(settings=Settings(max_message_bytes=1_000_000, http_body_memory_bytes=3_000_000))
    async with serving(service) as server, client_of(server) as client:
        answers = await asyncio.gather(*(client.post(PATH, content=b" " * 5_000_000) for _ in range(5)))
        assert {answer.status_code for answer in answers} <= {413, 429}
        assert (await client.post(PATH, json={"a": 1})).status_code == 200


async def test_half_open_connections_do_not_keep_others_waiting() -> None:
    async with serving(HttpService(), BoundedConnection) as server, client_of(server) as client:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(500)]
        for _, writer in idle[::2]:
            writer.write(head(1000) + b"{")
        started = time.monotonic()
        assert (await client.post(PATH, json={"a": 1})).status_code == 200
        assert time.monotonic() - started < 5
        for _, writer in idle:
            writer.close()


async def test_unread_response_is_cut_off() -> None:
    reply = event_pb2.EventsInfo(results=[event_pb2.EventInfo(title="x" * 16_000_000)]).SerializeToString()

    async def large(_request: bytes, _call: FakeCall) -> bytes:
        return reply

    service = HttpService(handlers={LIST: large})
    async with serving(service) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(
                b"POST /monitoring/v1/event/list HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n"
                b"Authorization: Bearer %b\r\n\r\n" % TOKEN.encode()
            )
            await asyncio.sleep(2)
            client.settimeout(10)
            answer = await asyncio.to_thread(received_by, client)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert len(answer) < 16_000_000


def received_by(client: socket.socket) -> bytes:
    """Read until the server is gone: all that came."""
    chunks = []
    with suppress(ConnectionResetError):
        while chunk := client.recv(1 << 20):
            chunks.append(chunk)
    return b"".join(chunks)


# --- start and stop ---------------------------------------------------------------------------------------------------


async def test_an_address_in_use() -> None:
    async with serving(HttpService()) as server:
        with pytest.raises(OSError, match="in use"):
            await HttpServer(HttpService().app(), f"127.0.0.1:{server.port}").start()


@pytest.mark.parametrize("address", ["", "8080", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536"])
async def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        await HttpServer(HttpService().app(), address).start()


async def test_server_installs_no_signal_handlers() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with serving(HttpService()):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_several_servers_and_many_starts() -> None:
    service = HttpService()
    async with serving(service) as first, serving(service) as second:
        assert first.port != second.port
    for _ in range(5):
        async with serving(service) as server, client_of(server) as client:
            assert (await client.get("/healthz")).status_code == 200


def slow_create(seconds: float) -> Callable[[CreateRequest], Awaitable[CreateResult]]:
    async def create(_request: CreateRequest) -> CreateResult:
        await asyncio.sleep(seconds)
        return CreateResult(event_ids=["event-000000000001"])

    return create


@pytest.mark.parametrize(("seconds", "status"), [(0.5, 200), (30, 503)])
async def test_a_stop_lets_requests_end_that_end_in_time(
    seconds: float, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = HttpService()
    monkeypatch.setattr(service.events, "create", slow_create(seconds))
    server = HttpServer(service.app(), "127.0.0.1:0")
    await server.start()
    async with client_of(server) as client:
        under_way = asyncio.create_task(client.post(PATH, json={"a": 1}))
        await asyncio.sleep(0.2)
        started = time.monotonic()
        await server.stop(1)
        assert time.monotonic() - started < 3
        answer = await under_way
        assert answer.status_code == status
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")
