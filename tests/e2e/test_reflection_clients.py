"""Reflection v1alpha as SpaceONE's console and CLI read it: they load each listed package by itself.

The console (Node) takes every file of a reply for one that declares a service, and knows the types of a file's own
package, of SpaceONE's core and of google only. The CLI imports the Python stubs of each listed package.
"""

import importlib
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from tests.e2e.service import Service

STUBS = {"spaceone": "{package}.{file}_pb2", "grpc": "grpc_{name}.{version}.{name}_pb2"}
"""Names of the modules by the first part of the package."""


@pytest.fixture(scope="module")
def channel(service: Service) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(service.grpc_address) as opened:
        yield opened


def ask(channel: grpc.Channel, version: str = "v1alpha", **request: str) -> ServerReflectionResponse:
    method = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    (reply,) = method(iter([ServerReflectionRequest(**request)]), timeout=10)
    return reply


def listed(channel: grpc.Channel, version: str = "v1alpha") -> list[str]:
    return [service.name for service in ask(channel, version, list_services="").list_services_response.service]


def files(channel: grpc.Channel, symbol: str) -> list[FileDescriptorProto]:
    reply = ask(channel, file_containing_symbol=symbol)
    return [FileDescriptorProto.FromString(one) for one in reply.file_descriptor_response.file_descriptor_proto]


def test_every_file_of_a_reply_declares_the_service(channel: grpc.Channel) -> None:
    for name in listed(channel):
        declared = [[f"{file.package}.{one.name}" for one in file.service] for file in files(channel, name)]
        assert [name in names for names in declared] == [True], name


def test_files_use_types_of_their_package_core_and_google_only(channel: grpc.Channel) -> None:
    for name in listed(channel):
        for file in files(channel, name):
            known = (f".{file.package}.", ".spaceone.api.core.", ".google.")
            used = {field.type_name for message in file.message_type for field in message.field if field.type_name}
            used |= {type_ for one in file.service for rpc in one.method for type_ in (rpc.input_type, rpc.output_type)}
            assert [type_ for type_ in used if not type_.startswith(known)] == [], name


def test_stubs_of_every_listed_package_importable(channel: grpc.Channel) -> None:
    """By the names in SpaceONE's and gRPC's packages, never this project's."""
    for name in listed(channel):
        package, _, _ = name.rpartition(".")
        first, *_, last, version = package.split(".")
        (file,) = files(channel, name)
        stub = file.name.rpartition("/")[2].removesuffix(".proto")
        module = STUBS[first].format(package=package, file=stub, name=last, version=version)
        assert importlib.import_module(module).DESCRIPTOR.package == package


def test_new_clients_see_every_service(channel: grpc.Channel) -> None:
    added = set(listed(channel, "v1")) - set(listed(channel))
    assert added == {
        "event_service.v1.Alerts",
        "event_service.v1.Events",
        "event_service.v1.Ingest",
        "event_service.v1.Webhooks",
        "grpc.reflection.v1.ServerReflection",
    }
    for name in added:
        assert files(channel, name), "by name, v1alpha answers too"
