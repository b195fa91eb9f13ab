"""Server reflection v1 and v1alpha, so that clients such as grpcurl need no proto files.

A reply has the one file asked for, not its imports as the replies of grpcio-reflection do: clients such as SpaceONE's
console load every file of a reply as one that declares a service. For the same reason v1alpha, which they speak, lists
upstream's services only; v1 lists all. Both answer for every symbol and file.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse

from event_service.rpc.methods import decode_small

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
_LISTED_OVER_V1ALPHA = ("grpc.", "spaceone.")

_NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]
_INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT.value[0]


def method_path(service: str) -> str:
    """Return the full name of the method, `/package.ServerReflection/ServerReflectionInfo`."""
    return f"/{service}/ServerReflectionInfo"


class Reflection:
    """Reflection from the descriptors loaded in this process. The messages of v1 and v1alpha are the same.

    Args:
        services: full names to list.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted(services)

    async def answer(
        self, requests: AsyncIterator[bytes], context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> AsyncGenerator[bytes, None]:
        """Stream one reply for each request.

        Raises:
            InvalidArgument: a request is not a ServerReflectionRequest.
        """
        async for request in requests:
            yield self.reply(decode_small(ServerReflectionRequest, request)).SerializeToString()

    def reply(self, request: ServerReflectionRequest) -> ServerReflectionResponse:
        """Return the reply to one request; errors are part of the reply."""
        reply = ServerReflectionResponse(original_request=request)
        asked = request.WhichOneof("message_request")
        try:
            if asked == "list_services":
                for name in self._services:
                    reply.list_services_response.service.add(name=name)
            elif asked == "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                reply.all_extension_numbers_response.base_type_name = name
                reply.all_extension_numbers_response.extension_number.extend(_extension_numbers(name))
            elif asked == "file_containing_extension":
                _add(reply, _file_of_extension(request.file_containing_extension))
            elif asked == "file_containing_symbol":
                _add(reply, _file_with(request.file_containing_symbol))
            elif asked == "file_by_filename":
                _add(reply, _file_named(request.file_by_filename))
            else:
                reply.error_response.error_code = _INVALID_ARGUMENT
                reply.error_response.error_message = "message_request: must be given"
        except KeyError:
            reply.error_response.error_code = _NOT_FOUND
            reply.error_response.error_message = f"{asked}: no such name on this server"
        return reply


def reflections(services: Iterable[str]) -> dict[str, Reflection]:
    """Return the reflection of each protocol version by the full name of its service.

    Args:
        services: full names of all other services.
    """
    services = list(services)
    old = [name for name in services if name.startswith(_LISTED_OVER_V1ALPHA)]
    return {V1: Reflection([*services, V1, V1ALPHA]), V1ALPHA: Reflection([*old, V1ALPHA])}


def _pool_with_v1() -> DescriptorPool:
    """Return a pool with the descriptor of v1, which grpcio-reflection lacks: v1alpha's under another package name."""
    old = descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    renamed = (
        text_format.MessageToString(old)
        .replace("grpc_reflection/v1alpha", "grpc/reflection/v1")
        .replace("v1alpha", "v1")
    )
    pool = DescriptorPool()
    pool.Add(text_format.Parse(renamed.replace("v1alpha", "v1"), descriptor_pb2.FileDescriptorProto()))
    return pool


_DEFAULT_POOL = descriptor_pool.Default()
_V1_POOL = _pool_with_v1()  # a pool of its own: the default pool is shared with other libraries


def _file_named(name: str) -> FileDescriptor:
    try:
        return _DEFAULT_POOL.FindFileByName(name)
    except KeyError:
        return _V1_POOL.FindFileByName(name)


def _file_with(symbol: str) -> FileDescriptor:
    try:
        return _DEFAULT_POOL.FindFileContainingSymbol(symbol)
    except KeyError:
        return _V1_POOL.FindFileContainingSymbol(symbol)


def _file_of_extension(request: ExtensionRequest) -> FileDescriptor:
    extended = _DEFAULT_POOL.FindMessageTypeByName(request.containing_type)
    return _file_with(_DEFAULT_POOL.FindExtensionByNumber(extended, request.extension_number).full_name)


def _extension_numbers(name: str) -> list[int]:
    extended = _DEFAULT_POOL.FindMessageTypeByName(name)
    return sorted(extension.number for extension in _DEFAULT_POOL.FindAllExtensions(extended))


def _add(reply: ServerReflectionResponse, file: FileDescriptor) -> None:
    reply.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
