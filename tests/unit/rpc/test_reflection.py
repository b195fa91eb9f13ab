"""Server reflection v1 and v1alpha."""

from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.rpc.methods import MAX_REQUEST_BYTES
from tests.unit.rpc.serving import EVENT, Methods, serving


@pytest.fixture(params=["grpc.reflection.v1alpha", "grpc.reflection.v1"])
async def method(request: pytest.FixtureRequest) -> AsyncIterator[grpc.aio.StreamStreamMultiCallable[bytes, bytes]]:
    async with (
        serving(Methods()) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield channel.stream_stream(f"/{request.param}.ServerReflection/ServerReflectionInfo")


async def answers(
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes], *requests: ServerReflectionRequest
) -> list[ServerReflectionResponse]:
    async def sent() -> AsyncIterator[bytes]:
        for request in requests:
            yield request.SerializeToString()

    return [ServerReflectionResponse.FromString(reply) async for reply in method(sent())]


async def test_reflection_lists_services(method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]) -> None:
    (reply,) = await answers(method, ServerReflectionRequest(list_services=""))
    assert [service.name for service in reply.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "spaceone.api.monitoring.v1.Event",
    ]


async def test_reflection_includes_imports(method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]) -> None:
    by_symbol, by_name, missing, empty = await answers(
        method,
        ServerReflectionRequest(file_containing_symbol=EVENT.full_name),
        ServerReflectionRequest(file_by_filename="spaceone/api/core/v2/query.proto"),
        ServerReflectionRequest(file_containing_symbol="no.Such"),
        ServerReflectionRequest(),
    )
    files = {}
    for serialized in by_symbol.file_descriptor_response.file_descriptor_proto:
        file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
        files[file.name] = file
    assert "google/api/annotations.proto" in files
    expected = descriptor_pb2.FileDescriptorProto()
    event_pb2.DESCRIPTOR.CopyToProto(expected)
    assert files["spaceone/api/monitoring/v1/event.proto"] == expected
    assert by_name.HasField("file_descriptor_response")
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert empty.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


@pytest.mark.parametrize("request_", [b"\xff", b"\x78\x00" * MAX_REQUEST_BYTES], ids=["garbage", "large"])
async def test_reflection_garbage_invalid(
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes], request_: bytes
) -> None:
    async def garbage() -> AsyncIterator[bytes]:
        yield request_

    assert await method(garbage()).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_reflection_streams_limited() -> None:
    async with (
        serving(Methods(), grpc_max_calls=1) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        old, new = (
            channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")
            for version in ("v1alpha", "v1")
        )
        first = old()
        await first.write(ServerReflectionRequest(list_services="").SerializeToString())
        assert await first.read() is not grpc.aio.EOF
        assert await new().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
