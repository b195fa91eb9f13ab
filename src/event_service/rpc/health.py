"""grpc.health.v1, following what the service knows about itself."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress

import grpc
from grpc_health.v1.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListResponse,
)

from event_service.errors import EventServiceError, InvalidArgument
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import Handler, decode

SERVICE = "grpc.health.v1.Health"

_SERVING = HealthCheckResponse.SERVING
_NOT_SERVING = HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


class UnknownService(EventServiceError):
    """Asked for the health of a service that is not here, as grpc.health.v1 wants it answered."""

    code, http_status, reason = "NOT_FOUND", 404, "ERROR_NOT_FOUND"


class Health:
    """One state for the whole process and each of its services, since all live off one database.

    Used on the event loop only. It starts as not serving.

    Args:
        services: full names, beside "" for the process.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services) | {""}
        self._serving = False
        self._stopping = False
        self._changed = asyncio.Event()
        self._watchers = 0
        self._nobody_watches = asyncio.Event()

    @property
    def serving(self) -> bool:
        """Whether calls will be answered."""
        return self._serving

    def set(self, serving: bool) -> None:
        """Tells everybody who watches. Once it stops it stays not serving."""
        serving = serving and not self._stopping
        if serving != self._serving:
            self._serving = serving
            self._tell()

    def stop(self) -> None:
        """Not serving from now on; whoever watches is told so and let go."""
        self._stopping = True
        self._serving = False
        self._tell()

    async def left_alone(self, seconds: float) -> None:
        """Returns when all who watched have been told, or after that many seconds."""
        if not self._watchers:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._nobody_watches.wait(), seconds)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, service: str) -> HealthCheckResponse.ServingStatus:
        if service not in self._services:
            return _SERVICE_UNKNOWN
        return _SERVING if self._serving else _NOT_SERVING

    async def check(self, request: bytes, call: RpcContext) -> bytes:
        """
        Raises:
            UnknownService: no such service here.
        """
        status = self._status(decode(HealthCheckRequest, request).service)
        if status == _SERVICE_UNKNOWN:
            raise UnknownService("This server has no such service.")
        reply: bytes = HealthCheckResponse(status=status).SerializeToString()
        return reply

    async def list(self, request: bytes, call: RpcContext) -> bytes:
        """The state of every service."""
        statuses = {name: HealthCheckResponse(status=self._status(name)) for name in self._services}
        reply: bytes = HealthListResponse(statuses=statuses).SerializeToString()
        return reply

    async def watch(
        self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> AsyncGenerator[bytes, None]:
        """The state now, and again whenever it changes, until the caller leaves or the server stops."""
        try:
            service = decode(HealthCheckRequest, request).service
        except InvalidArgument as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.details)
        told = None
        self._watchers += 1
        try:
            while True:
                status = self._status(service)
                if status != told:
                    yield HealthCheckResponse(status=status).SerializeToString()
                    told = status  # while it was sent, much may have changed
                elif self._stopping:
                    return
                else:
                    await self._changed.wait()
        finally:
            self._watchers -= 1
            if self._stopping and not self._watchers:
                self._nobody_watches.set()

    def unary_methods(self) -> Mapping[str, Handler]:
        """Check and List by full name."""
        return {f"/{SERVICE}/Check": self.check, f"/{SERVICE}/List": self.list}
