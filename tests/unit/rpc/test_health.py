"""grpc.health.v1: Check, List and Watch."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from event_service.rpc.health import Health
from event_service.rpc.methods import MAX_REQUEST_BYTES
from event_service.rpc.server import GrpcServer
from tests.unit.rpc.serving import EVENT, Methods, failure, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture
async def server() -> AsyncIterator[GrpcServer]:
    async with serving(Methods()) as server:
        yield server


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


async def test_check_returns_the_status_set(server: GrpcServer, channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=EVENT.full_name)
    assert (await stub.Check(request)).status == NOT_SERVING
    assert not server.health.serving
    server.health.set(True)
    assert (await stub.Check(request)).status == SERVING
    assert (await stub.Check(health_pb2.HealthCheckRequest())).status == SERVING
    assert server.health.serving
    server.health.set(False)
    assert (await stub.Check(request)).status == NOT_SERVING


UNKNOWN_FIELDS = b"\x78\x00" * (MAX_REQUEST_BYTES // 2 + 1)


async def test_unknown_service_not_found_and_garbage_invalid(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    error = await failure(stub.Check(health_pb2.HealthCheckRequest(service="no.Such")))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    for garbage in (b"\xff", UNKNOWN_FIELDS):
        error = await failure(channel.unary_unary("/grpc.health.v1.Health/Check")(garbage))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(garbage)
        assert await watch.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_list_returns_all_services(server: GrpcServer, channel: grpc.aio.Channel) -> None:
    server.health.set(True)
    listed = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
    assert {name: status.status for name, status in listed.statuses.items()} == {"": SERVING, EVENT.full_name: SERVING}


async def test_watch_streams_changes_and_ends_at_stop(server: GrpcServer, channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    known = stub.Watch(health_pb2.HealthCheckRequest())
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="no.Such"))
    assert (await known.read()).status == NOT_SERVING
    assert (await unknown.read()).status == UNKNOWN
    server.health.set(True)
    assert (await known.read()).status == SERVING
    server.health.set(True)  # no change, no message
    stopped = asyncio.ensure_future(server.stop(5))
    assert (await asyncio.wait_for(known.read(), 10)).status == NOT_SERVING
    assert await asyncio.wait_for(known.code(), 10) is grpc.StatusCode.OK
    assert await asyncio.wait_for(unknown.code(), 10) is grpc.StatusCode.OK
    await asyncio.wait_for(stopped, 10)
    server.health.set(True)
    assert not server.health.serving


async def test_watch_sends_stop_that_happens_during_a_send() -> None:
    health = Health(["a.Service"])
    health.set(True)
    watch = health.watch(b"", context=None)
    assert health_pb2.HealthCheckResponse.FromString(await anext(watch)).status == SERVING
    health.stop()
    assert [health_pb2.HealthCheckResponse.FromString(received).status async for received in watch] == [NOT_SERVING]


async def test_watchers_limited_while_check_always_answered() -> None:
    async with (
        serving(Methods(), grpc_max_calls=2) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        watching = [stub.Watch(request) for _ in range(2)]
        for one in watching:
            assert (await one.read()).status == NOT_SERVING
        assert await stub.Watch(request).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await stub.Check(request)).status == NOT_SERVING
        watching[0].cancel()
        while (later := await stub.Watch(request).read()) is grpc.aio.EOF:
            pass  # the server has not heard of it yet
        assert later.status == NOT_SERVING
