"""grpc.health.v1: Check, List and Watch."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress

import grpc
from grpc_health.v1.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListResponse,
)

from event_service.errors import EventServiceError
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import Handler, decode_small

SERVICE = "grpc.health.v1.Health"

_SERVING = HealthCheckResponse.SERVING
_NOT_SERVING = HealthCheckResponse.NOT_SERVING
_SERVICE_UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


class UnknownService(EventServiceError):
    """The NOT_FOUND that grpc.health.v1 requires for an unknown service."""

    code, http_status, reason = "NOT_FOUND", 404, "ERROR_NOT_FOUND"


class Health:
    """The serving status of the process; all services share it, since all need the same database.

    Used on the event loop only. Starts as not serving.

    Args:
        services: full names; "" for the process is added.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(services) | {""}
        self._serving = False
        self._stopping = False
        self._changed = asyncio.Event()
        self._watchers = 0
        self._no_watchers = asyncio.Event()

    @property
    def serving(self) -> bool:
        """True while the status is SERVING."""
        return self._serving

    def set(self, serving: bool) -> None:
        """Set the status and notify watchers. After `stop` it stays not serving."""
        serving = serving and not self._stopping
        if serving != self._serving:
            self._serving = serving
            self._notify()

    def stop(self) -> None:
        """Set not serving for good, notify watchers and end their streams."""
        self._stopping = True
        self._serving = False
        self._notify()

    async def wait_for_watchers(self, seconds: float) -> None:
        """Wait until all watchers are notified and gone, at most `seconds`."""
        if not self._watchers:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._no_watchers.wait(), seconds)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, service: str) -> HealthCheckResponse.ServingStatus:
        if service not in self._services:
            return _SERVICE_UNKNOWN
        return _SERVING if self._serving else _NOT_SERVING

    async def check(self, request: bytes, context: RpcContext) -> bytes:
        """HealthCheckRequest -> HealthCheckResponse.

        Raises:
            UnknownService: this server has no service of that name.
        """
        status = self._status(decode_small(HealthCheckRequest, request).service)
        if status == _SERVICE_UNKNOWN:
            raise UnknownService("This server has no service of that name.")
        reply: bytes = HealthCheckResponse(status=status).SerializeToString()
        return reply

    async def list(self, request: bytes, context: RpcContext) -> bytes:
        """HealthListRequest -> HealthListResponse, with all services."""
        statuses = {name: HealthCheckResponse(status=self._status(name)) for name in self._services}
        reply: bytes = HealthListResponse(statuses=statuses).SerializeToString()
        return reply

    async def watch(
        self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> AsyncGenerator[bytes, None]:
        """Stream the status now and at each change, until the caller cancels or the server stops.

        Raises:
            InvalidArgument: the request is not a HealthCheckRequest.
        """
        service = decode_small(HealthCheckRequest, request).service
        sent = None
        self._watchers += 1
        try:
            while True:
                status = self._status(service)
                if status != sent:
                    yield HealthCheckResponse(status=status).SerializeToString()
                    sent = status  # it may have changed while being sent: loop again before waiting
                elif self._stopping:
                    return
                else:
                    await self._changed.wait()
        finally:
            self._watchers -= 1
            if self._stopping and not self._watchers:
                self._no_watchers.set()

    def unary_methods(self) -> Mapping[str, Handler]:
        """Return Check and List by full name."""
        return {f"/{SERVICE}/Check": self.check, f"/{SERVICE}/List": self.list}
