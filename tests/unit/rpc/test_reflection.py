"""Server reflection v1 and v1alpha."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from event_service._gen.event_service.v1 import events_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.rpc.methods import MAX_REQUEST_BYTES
from event_service.rpc.reflection import V1, V1ALPHA, reflections
from tests.unit.rpc.serving import EVENT, Methods, serving

METHOD_OPTIONS = "google.protobuf.MethodOptions"
HTTP = 72295728  # google.api.http


@pytest.fixture(params=[V1ALPHA, V1])
async def method(request: pytest.FixtureRequest) -> AsyncIterator[grpc.aio.StreamStreamMultiCallable[bytes, bytes]]:
    async with (
        serving(Methods()) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield channel.stream_stream(f"/{request.param}/ServerReflectionInfo")


async def answers(
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes], *requests: ServerReflectionRequest
) -> list[ServerReflectionResponse]:
    async def sent() -> AsyncIterator[bytes]:
        for request in requests:
            yield request.SerializeToString()

    return [ServerReflectionResponse.FromString(reply) async for reply in method(sent())]


@pytest.mark.parametrize(
    ("version", "listed"),
    [
        (V1ALPHA, ["grpc.health.v1.Health", V1ALPHA, "spaceone.api.monitoring.v1.Event"]),
        (V1, ["event_service.v1.Events", "grpc.health.v1.Health", V1, V1ALPHA, "spaceone.api.monitoring.v1.Event"]),
    ],
)
def test_only_upstreams_services_listed_over_v1alpha(version: str, listed: list[str]) -> None:
    reflection = reflections(["event_service.v1.Events", EVENT.full_name, "grpc.health.v1.Health"])[version]
    reply = reflection.reply(ServerReflectionRequest(list_services=""))
    assert [service.name for service in reply.list_services_response.service] == listed


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({"file_containing_symbol": "spaceone.api.monitoring.v1.Event"}, "spaceone/api/monitoring/v1/event.proto"),
        ({"file_containing_symbol": events_pb2.ExportRequest.DESCRIPTOR.full_name}, "event_service/v1/events.proto"),
        ({"file_containing_symbol": "grpc.health.v1.Health"}, "grpc_health/v1/health.proto"),
        ({"file_containing_symbol": V1}, "grpc/reflection/v1/reflection.proto"),
        ({"file_by_filename": "spaceone/api/core/v2/query.proto"}, "spaceone/api/core/v2/query.proto"),
        ({"file_by_filename": "event_service/v1/events.proto"}, "event_service/v1/events.proto"),
        (
            {"file_containing_extension": {"containing_type": METHOD_OPTIONS, "extension_number": HTTP}},
            "google/api/annotations.proto",
        ),
    ],
)
async def test_reply_has_the_file_asked_for_without_imports(
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes], request_: dict[str, Any], name: str
) -> None:
    (reply,) = await answers(method, ServerReflectionRequest(**request_))
    (file,) = reply.file_descriptor_response.file_descriptor_proto
    assert descriptor_pb2.FileDescriptorProto.FromString(file).name == name
    assert reply.original_request == ServerReflectionRequest(**request_)


async def test_file_is_that_of_the_stubs(method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]) -> None:
    (reply,) = await answers(method, ServerReflectionRequest(file_containing_symbol=EVENT.full_name))
    assert list(reply.file_descriptor_response.file_descriptor_proto) == [event_pb2.DESCRIPTOR.serialized_pb]


async def test_extension_numbers(method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]) -> None:
    (reply,) = await answers(method, ServerReflectionRequest(all_extension_numbers_of_type=METHOD_OPTIONS))
    assert reply.all_extension_numbers_response.base_type_name == METHOD_OPTIONS
    assert HTTP in reply.all_extension_numbers_response.extension_number


async def test_errors_do_not_end_the_stream(method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]) -> None:
    no_extension = {"containing_type": METHOD_OPTIONS, "extension_number": 1}
    *missing, empty, listed = await answers(
        method,
        ServerReflectionRequest(file_containing_symbol="no.Such"),
        ServerReflectionRequest(file_by_filename="no/such.proto"),
        ServerReflectionRequest(file_containing_extension=no_extension),
        ServerReflectionRequest(all_extension_numbers_of_type="no.Such"),
        ServerReflectionRequest(),
        ServerReflectionRequest(list_services=""),
    )
    not_found = grpc.StatusCode.NOT_FOUND.value[0]
    assert [reply.error_response.error_code for reply in missing] == [not_found] * 4
    assert empty.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert listed.list_services_response.service


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
        method = channel.stream_stream(f"/{V1}/ServerReflectionInfo")
        first = method()
        await first.write(ServerReflectionRequest(list_services="").SerializeToString())
        assert await first.read() is not grpc.aio.EOF
        assert await method().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()
