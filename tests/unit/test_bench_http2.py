"""bench/http2.py: the frames of the load generator, and a real gRPC server's replies to them."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from bench.http2 import Connection, Tally, frame, header_blocks, message_frame


def test_a_frame_has_nine_bytes_of_header() -> None:
    assert frame(0, 1, 5, b"abc") == b"\0\0\3\0\1\0\0\0\5abc"


def test_a_message_is_prefixed_with_its_length() -> None:
    assert message_frame(b"abc") == b"\0\0\0\0\3abc"


def test_later_requests_name_their_headers_by_index() -> None:
    first, later = header_blocks("127.0.0.1:1", "/a.B/c", {"token": "t" * 500})
    assert b"/a.B/c" in first
    assert b"t" * 500 in first
    # POST, http, and five entries of the dynamic table, the oldest of which is 61 + 5.
    assert later == bytes([0x83, 0x86, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62])


async def _answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    token = dict(context.invocation_metadata() or ()).get("token")
    if request == b"refuse" or token != "t" * 300:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no")
    return request * 50


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = grpc.aio.server()
    handlers = {"c": grpc.unary_unary_rpc_method_handler(_answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.B", handlers),))
    bound = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield bound
    await server.stop(0)


async def _load(port: int, bodies: list[bytes]) -> Tally:
    tally, finished = Tally(), asyncio.Event()

    def done(_connection: Connection) -> None:
        if len(tally.latencies) == len(bodies):
            finished.set()

    blocks = header_blocks(f"127.0.0.1:{port}", "/a.B/c", {"token": "t" * 300})
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(blocks, tally, done), "127.0.0.1", port)
    for body in bodies:
        connection.send(message_frame(body))
    await asyncio.wait_for(finished.wait(), 20)
    assert connection.in_flight == 0
    connection.close()
    await connection.lost
    return tally


async def test_many_calls_share_a_connection_and_each_is_answered(port: int) -> None:
    tally = await _load(port, [b"x" * 100] * 40)
    assert (len(tally.latencies), tally.failures) == (40, 0)
    assert tally.bytes_received == 40 * (5 + 5000)


async def test_bodies_beyond_the_first_window_wait_for_the_server(port: int) -> None:
    tally = await _load(port, [b"x" * 30_000] * 8)
    assert (len(tally.latencies), tally.failures) == (8, 0)


async def test_a_refused_call_is_a_failure_whatever_http_says(port: int) -> None:
    tally = await _load(port, [b"refuse", b"fine", b"refuse"])
    assert (len(tally.latencies), tally.failures) == (3, 2)
