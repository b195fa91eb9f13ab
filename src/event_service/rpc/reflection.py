"""Server reflection, so that clients such as grpcurl need no proto files.

grpcio-reflection has v1alpha only. v1 has the same messages under another package name, so one servicer answers both.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable

import grpc
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from event_service.errors import InvalidArgument
from event_service.rpc.methods import decode_small

SERVICE = "grpc.reflection.v1alpha.ServerReflection"
_ALSO = "grpc.reflection.v1.ServerReflection"  # not listed: no descriptor of its file is installed

METHODS = tuple(f"/{service}/ServerReflectionInfo" for service in (SERVICE, _ALSO))


class Reflection:
    """Reflection from the descriptors loaded in this process.

    Args:
        services: full names; reflection's own is added.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._servicer = ReflectionServicer([*services, SERVICE])

    async def answer(
        self, requests: AsyncIterator[bytes], context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> AsyncGenerator[bytes, None]:
        """Stream one reply for each request."""

        async def decoded() -> AsyncIterator[ServerReflectionRequest]:
            async for request in requests:
                yield decode_small(ServerReflectionRequest, request)

        try:
            async for reply in self._servicer.ServerReflectionInfo(decoded(), context):
                yield reply.SerializeToString()
        except InvalidArgument as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.details)
