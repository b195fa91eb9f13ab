"""gzip of gRPC messages."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from hypothesis import given
from hypothesis import strategies as st

from event_service._gen.event_service.v1 import ingest_pb2
from event_service.errors import EventServiceError, InvalidArgument, Overloaded, TooLarge
from event_service.rpc import compression
from event_service.rpc.compression import MAGIC, Decompressor
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.context import RpcContext
from tests.unit.rpc.serving import EVENT, Methods, serving

MIB = 1024 * 1024
WHOLE = gzip.compress(b"message" * 30_000)


def decompressor(max_bytes: int = MIB, *, memory: int = MIB) -> Decompressor:
    return Decompressor(max_bytes, ConcurrencyLimit(10, memory))


@pytest.mark.parametrize("size", [0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 300_000, MIB])
async def test_messages_up_to_the_limit_decompressed(size: int) -> None:
    for content in (bytes(size), bytes(range(256)) * (size // 256) + bytes(size % 256)):
        assert await decompressor().decompress(gzip.compress(content)) == content


@pytest.mark.parametrize("max_bytes", [1024, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000])
async def test_decompression_stops_at_the_limit(max_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(stream: "zlib._Decompress", message: bytes, size: int) -> bytes:
        assert size > 0, "no limit to zlib"
        made.append(len(content := stream.decompress(message, size)))
        return content

    monkeypatch.setattr(compression, "_decompress", counted)
    assert len(await decompressor(max_bytes).decompress(gzip.compress(bytes(max_bytes)))) == max_bytes
    for size in (max_bytes + 1, 10 * max_bytes):
        made.clear()
        with pytest.raises(TooLarge, match=f"larger than {max_bytes} bytes"):
            await decompressor(max_bytes).decompress(gzip.compress(bytes(size)))
        assert sum(made) == max_bytes + 1


@pytest.mark.parametrize(
    "message",
    [MAGIC, WHOLE[:10], WHOLE[:-1], WHOLE + b"x", WHOLE + WHOLE, WHOLE[:100] + b"x" + WHOLE[101:], MAGIC + b"\x07"],
)
async def test_other_than_one_complete_member_refused(message: bytes) -> None:
    with pytest.raises(InvalidArgument, match="gzip"):
        await decompressor().decompress(message)


async def test_large_messages_decompressed_one_after_the_other() -> None:
    content = bytes(MIB)
    several = decompressor()
    waiting = [several.decompress(gzip.compress(content)) for _ in range(100)]
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, EventServiceError)]
    assert {type(answer) for answer in refused} == {Overloaded}
    assert all(answer.retry_after for answer in refused)
    assert [answer for answer in answers if not isinstance(answer, EventServiceError)] == [content] * 32
    assert await several.decompress(gzip.compress(b"small")) == b"small"


async def test_waiting_messages_count_towards_memory() -> None:
    limit = ConcurrencyLimit(10, 3 * len(WHOLE))
    several = Decompressor(MIB, limit)
    limit.reserve(3 * len(WHOLE))
    with pytest.raises(Overloaded):
        await several.decompress(WHOLE)
    limit.release(3 * len(WHOLE))
    assert await several.decompress(WHOLE)
    limit.reserve(3 * len(WHOLE))  # all was given back


@given(st.binary(max_size=50))
def test_no_message_begins_with_the_magic_number(rest: bytes) -> None:
    """So that a compressed message cannot be taken for another."""
    with pytest.raises(DecodeError):
        ingest_pb2.CreateBatchRequest.FromString(MAGIC + rest)


async def test_every_kind_of_call_takes_gzip() -> None:
    """Clients such as connect's compress all requests, those of health checks too."""
    request = gzip.compress(HealthCheckRequest(service=EVENT.full_name).SerializeToString())

    async def only(message: bytes) -> AsyncIterator[bytes]:
        yield message

    async with serving(Methods()) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        server.health.set(True)
        check = await channel.unary_unary("/grpc.health.v1.Health/Check")(request)
        assert HealthCheckResponse.FromString(check).status == HealthCheckResponse.SERVING
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(request)
        assert await watch.read() == check
        watch.cancel()
        listing = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        assert len([reply async for reply in listing(only(gzip.compress(b"\x3a\x00")))]) == 1
        broken = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(only(MAGIC))
        assert await broken.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_handler_gets_the_decompressed_request() -> None:
    async def refuse(request: bytes, context: RpcContext) -> bytes:
        raise InvalidArgument.at("data", f"has {len(request)} bytes")

    async with serving(Methods(get=refuse)) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        call = channel.unary_unary("/spaceone.api.monitoring.v1.Event/get")(gzip.compress(bytes(1000)))
        assert "has 1000 bytes" in await call.details()
