"""The server over real connections: limits, unknown methods, tokens, port and stop."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Mapping

import grpc
import pytest

from event_service.errors import InvalidArgument, Unauthenticated
from event_service.identity.principal import Principal
from event_service.rpc import server as server_module
from event_service.rpc.address import PortTaken, check_address
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import MAX_QUERY_BYTES, MAX_REQUEST_BYTES
from event_service.rpc.server import GrpcServer, Service, server_options
from tests.unit.rpc.serving import EVENT, NO_AUTHENTICATION, Methods, connected, failure, serving, settings
from tests.waiting import until

OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


async def calls_in_flight(server: GrpcServer, number: int) -> None:
    """Returns once that many calls are in the servicers."""
    await until(lambda: server.calls_in_flight == number)


class RejectAll:
    def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        raise Unauthenticated


async def test_metadata_and_trailers_round_trip() -> None:
    async def answer(request: bytes, context: RpcContext) -> bytes:
        assert context.method == "/spaceone.api.monitoring.v1.Event/get"
        assert context.metadata["token"] == "abc"
        assert "binary-bin" not in context.metadata
        assert context.deadline is not None
        assert 0 < context.deadline - time.monotonic() < 60
        assert context.caller.domain_id == "domain-1"
        context.add_trailer("event-count", "1")
        return request + b"!"

    async with serving(Methods(get=answer)) as server, connected(server) as ask:
        asked = ask("get", b"abc", metadata=(("token", "abc"), ("binary-bin", b"\xff")), timeout=50)
        assert await asked == b"abc!"
        assert dict(await asked.trailing_metadata()) == {"event-count": "1"}


async def test_allowed_trailers_arrive() -> None:
    async def answer(request: bytes, context: RpcContext) -> bytes:
        context.add_trailers("event-id", ["event-0123456789ab"] * 30, 20)
        context.add_trailers("event-error", ["x" * 1000] * 100, 100)
        return b""

    async with serving(Methods(create=answer)) as server, connected(server) as ask:
        for _ in range(50):
            asked = ask("create")
            assert await asked == b""
            trailers = await asked.trailing_metadata()
            assert trailers.get_all("event-id") == ["event-0123456789ab"] * 20


async def test_servicer_exception_is_internal() -> None:
    async def fail(request: bytes, context: RpcContext) -> bytes:
        raise KeyError("secret")

    seen: list[tuple[str, str]] = []
    async with (
        serving(Methods(get=fail), observe=lambda method, code, _: seen.append((method, code))) as server,
        connected(server) as ask,
    ):
        error = await failure(ask("get", metadata=(("x-request-id", "request-0001"),)))
        assert error.code() is grpc.StatusCode.INTERNAL
        assert error.details() == "ERROR_INTERNAL: The service failed to answer. (request_id = request-0001)"
    assert seen == [("/spaceone.api.monitoring.v1.Event/get", "INTERNAL")]


async def test_interceptor_exception_is_internal() -> None:
    class Broken:
        def authenticate(self, metadata: Mapping[str, str]) -> Principal:
            raise KeyError("secret")

    async with serving(Methods(), authenticator=Broken()) as server, connected(server) as ask:
        error = await failure(ask("get"))
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in (error.details() or "")


async def test_only_open_methods_need_no_token() -> None:
    async with serving(Methods(), authenticator=RejectAll()) as server, connected(server) as ask:
        assert await ask("create", b"abc") == b"abc"
        for method in ("get", "list", "stat"):
            assert (await failure(ask(method))).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_unknown_method_unimplemented() -> None:
    async with serving(Methods()) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        for path in ("/spaceone.api.monitoring.v1.Event/nope", "/no.Such/method", "/nonsense"):
            error = await failure(channel.unary_unary(path)(b""))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_request_over_size_limit_refused(compression: grpc.Compression) -> None:
    async with (
        serving(Methods(), max_message_bytes=100_000) as server,
        connected(server) as ask,
    ):
        assert len(await ask("get", bytes(100_000), compression=compression)) == 100_000
        error = await failure(ask("get", bytes(100_001), compression=compression))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        error = await failure(ask("get", bytes(50_000_000), compression=grpc.Compression.Gzip))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(("method", "most"), [("get", MAX_REQUEST_BYTES), ("list", MAX_QUERY_BYTES)])
async def test_request_larger_than_its_kind_refused(method: str, most: int) -> None:
    async with serving(Methods()) as server, connected(server) as ask:
        assert len(await ask(method, bytes(most))) == most
        error = await failure(ask(method, bytes(most + 1)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert f"/{EVENT.full_name}/{method} takes at most {most}" in (error.details() or "")
        assert len(await ask("create", bytes(most + 1))) == most + 1


async def test_replies_may_be_larger_than_requests() -> None:
    async def much(request: bytes, context: RpcContext) -> bytes:
        return bytes(20_000_000)

    unlimited = [("grpc.max_receive_message_length", -1)]
    async with (
        serving(Methods(list=much), max_message_bytes=1024) as server,
        connected(server, options=unlimited) as ask,
    ):
        assert len(await ask("list")) == 20_000_000


async def test_idle_connection_ends_and_next_call_opens_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_IDLE_MS", 500)
    answered = asyncio.Event()

    async def wait(request: bytes, context: RpcContext) -> bytes:
        await answered.wait()
        return request

    async with serving(Methods(list=wait)) as server:
        address = f"127.0.0.1:{server.port}"
        async with grpc.aio.insecure_channel(address) as channel, connected(server, options=OWN_CONNECTION) as ask:
            busy = asyncio.ensure_future(ask("list", b"busy"))
            await channel.channel_ready()
            async with asyncio.timeout(30):
                await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
            assert await channel.unary_unary(f"/{EVENT.full_name}/get")(b"again") == b"again"
            answered.set()
            assert await busy == b"busy"


async def test_calls_over_limit_refused_quickly() -> None:
    opened = asyncio.Event()

    async def wait(request: bytes, context: RpcContext) -> bytes:
        await opened.wait()
        return b""

    async with serving(Methods(get=wait), grpc_max_calls=4) as server, connected(server) as ask:
        let_in = [asyncio.ensure_future(ask("get")) for _ in range(4)]
        await calls_in_flight(server, 4)
        error = await failure(ask("get"))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for task in let_in[:2]:
            task.cancel()  # callers that leave make room
        await calls_in_flight(server, 2)
        opened.set()
        assert await ask("get") == b""
        await asyncio.gather(*let_in[2:])


async def test_deadline_exceeded() -> None:
    async def sleep(request: bytes, context: RpcContext) -> bytes:
        await asyncio.sleep(10)
        return b""

    async with serving(Methods(get=sleep)) as server, connected(server) as ask:
        started = time.monotonic()
        error = await failure(ask("get", timeout=0.2))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert time.monotonic() - started < 8
        await asyncio.sleep(0.05)
        assert server.calls_in_flight == 0


async def test_port_in_use_raises_port_taken() -> None:
    async with serving(Methods()) as first:
        address = f"127.0.0.1:{first.port}"
        second = GrpcServer(
            settings().model_copy(update={"grpc_address": address}), [Service(EVENT, Methods())], NO_AUTHENTICATION
        )
        with pytest.raises(PortTaken, match=f"cannot listen on {address}: another process uses the port"):
            await second.start()
        await second.stop(1)
    check_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", "no such host.invalid:1", "192.0.2.1:50051", ""])
def test_invalid_addresses_raise_port_taken(address: str) -> None:
    with pytest.raises(PortTaken, match="cannot listen on"):
        check_address(address)


def test_free_addresses_pass() -> None:
    check_address("127.0.0.1:0")
    check_address("localhost:0")
    if socket.has_ipv6:
        check_address("[::1]:0")


def test_connection_age_only_if_configured() -> None:
    assert "grpc.max_connection_age_ms" not in dict(server_options(settings()))
    options = dict(server_options(settings(connection_age_seconds=300, grace_seconds=5)))
    assert options["grpc.max_connection_age_ms"] == 300_000
    assert options["grpc.max_connection_age_grace_ms"] == 5_000
    assert options["grpc.so_reuseport"] == 0


async def test_gzip_unless_configured_otherwise() -> None:
    gzip = grpc.Compression.Gzip
    async with serving(Methods()) as server, connected(server, compression=gzip) as ask:
        assert await ask("get", b"abc" * 1000) == b"abc" * 1000
    async with serving(Methods(), grpc_compression=False) as server, connected(server, compression=gzip) as ask:
        error = await failure(ask("get", b"abc" * 1000))
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "Compression algorithm" in (error.details() or "")
    async with serving(Methods(), grpc_compression=False) as server, connected(server) as ask:
        assert await ask("get", b"abc" * 1000) == b"abc" * 1000


async def test_deflate_refused() -> None:
    async with serving(Methods()) as server, connected(server, compression=grpc.Compression.Deflate) as ask:
        assert (await failure(ask("get", b"abc" * 1000))).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_aged_connection_renewed_without_error() -> None:
    async with serving(Methods(), connection_age_seconds=1) as server, connected(server) as ask:
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            assert await ask("get", b"abc") == b"abc"
            await asyncio.sleep(0.02)


async def test_stop_finishes_calls_and_refuses_new_ones() -> None:
    answered = asyncio.Event()

    async def wait(request: bytes, context: RpcContext) -> bytes:
        await answered.wait()
        return b"done"

    async with serving(Methods(get=wait)) as server, connected(server) as ask:
        server.health.set(True)
        in_flight = [asyncio.ensure_future(ask("get")) for _ in range(50)]
        await calls_in_flight(server, 50)
        stopped = asyncio.ensure_future(server.stop(30))
        await until(lambda: not server.health.serving)
        error = await failure(ask("get"))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        answered.set()
        assert await asyncio.gather(*in_flight) == [b"done"] * 50
        await stopped
        assert (await failure(ask("get", timeout=1))).code() is grpc.StatusCode.UNAVAILABLE


async def test_stop_ends_within_grace() -> None:
    async def sleep(request: bytes, context: RpcContext) -> bytes:
        await asyncio.sleep(60)
        return b""

    async with serving(Methods(get=sleep)) as server, connected(server) as ask:
        in_flight = [asyncio.ensure_future(failure(ask("get"))) for _ in range(20)]
        await calls_in_flight(server, 20)
        started = time.monotonic()
        await server.stop(0.6)
        assert time.monotonic() - started < 10
        assert {error.code() for error in await asyncio.gather(*in_flight)} == {grpc.StatusCode.UNAVAILABLE}


async def test_open_streams_do_not_delay_stop() -> None:
    async with serving(Methods()) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        reflection = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")()
        await watch.read()
        await reflection.write(b"\x3a\x00")
        await reflection.read()
        started = time.monotonic()
        await server.stop(60)
        assert time.monotonic() - started < 20


async def test_start_and_stop_many_times() -> None:
    for _ in range(10):
        async with serving(Methods()) as server, connected(server) as ask:
            with pytest.raises(grpc.aio.AioRpcError):
                await ask("nope")
            assert await ask("get", b"abc") == b"abc"


async def test_connection_usable_after_refusals() -> None:
    async def refuse(request: bytes, context: RpcContext) -> bytes:
        raise InvalidArgument.at("x", "is wrong")

    async with serving(Methods(get=refuse)) as server, connected(server) as ask:
        for _ in range(100):
            assert (await failure(ask("get"))).code() is grpc.StatusCode.INVALID_ARGUMENT
            assert await ask("list", b"abc") == b"abc"


async def test_burst_during_busy_event_loop_is_answered() -> None:
    """gRPC's own limit of pending calls would end them as CANCELLED, which clients do not retry."""
    connections, each = 4, 500

    async def answer(request: bytes, context: RpcContext) -> bytes:
        if request == b"busy":
            time.sleep(1)  # noqa: ASYNC251 - that is what is tested
        return request

    def rush(target: str) -> Counter[str]:
        channels = [
            grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1), ("number", number)])
            for number in range(connections)
        ]
        for channel in channels:
            grpc.channel_ready_future(channel).result(10)
        asks = [channel.unary_unary("/spaceone.api.monitoring.v1.Event/get") for channel in channels]
        busy = asks[0].future(b"busy", timeout=60)
        calls = [ask.future(b"", timeout=60) for _ in range(each) for ask in asks]
        codes = Counter(call.code().name for call in [busy, *calls])
        for channel in channels:
            channel.close()
        return codes

    async with serving(Methods(get=answer)) as server:
        codes = await asyncio.to_thread(rush, f"127.0.0.1:{server.port}")
    assert codes.total() == connections * each + 1
    assert set(codes) <= {"OK", "RESOURCE_EXHAUSTED"}, codes
