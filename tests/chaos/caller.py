"""A gRPC client for many calls at once, which says of each what became of it."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from tests.e2e.service import Service

EVENT = "/spaceone.api.monitoring.v1.Event"

OK = grpc.StatusCode.OK
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
DEADLINE_EXCEEDED = grpc.StatusCode.DEADLINE_EXCEEDED


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call.

    Attributes:
        began, seconds: monotonic time of its start, and how long it took.
        retry_after: seconds, of the answer's RetryInfo; None without one.
        trailers: those of a call that went well.
    """

    code: grpc.StatusCode
    details: str
    began: float
    seconds: float
    reply: bytes = b""
    retry_after: float | None = None
    trailers: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> float:
        return self.began + self.seconds

    def __str__(self) -> str:
        return f"{self.code.name} after {self.seconds:.3f} s: {self.details}"


class Caller:
    """Calls one service over a few connections.

    Args:
        connections: each call takes the next one.
        metadata: of every call.
    """

    def __init__(self, address: str, connections: int = 1, metadata: Mapping[str, str] = {}) -> None:
        self._metadata = metadata
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
            # A service that comes back is found again at once.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 200),
        ]
        self._channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(connections)]
        self._calls = 0

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(channel.channel_ready() for channel in self._channels))
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels))

    async def call(
        self, path: str, request: Message | bytes, *, deadline: float | None = 10, metadata: Mapping[str, str] = {}
    ) -> Answer:
        """Make a call; return its result, also on errors."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        self._calls += 1
        rpc = self._channels[self._calls % len(self._channels)].unary_unary(path)
        began = time.monotonic()
        under_way = rpc(body, timeout=deadline, metadata=tuple({**self._metadata, **metadata}.items()))
        try:
            reply = await under_way
        except grpc.aio.AioRpcError as error:
            return Answer(
                error.code(), error.details() or "", began, time.monotonic() - began, b"", _retry_after(error)
            )
        seconds = time.monotonic() - began
        trailers = {str(name): str(value) for name, value in await under_way.trailing_metadata() or ()}
        return Answer(OK, "", began, seconds, reply, None, trailers)

    async def first_of(self, path: str, request: Message, *, deadline: float = 10) -> Answer:
        """Make a call that is answered by a stream; return its first reply, or OK if it has none."""
        self._calls += 1
        rpc = self._channels[self._calls % len(self._channels)].unary_stream(path)
        began = time.monotonic()
        call = rpc(request.SerializeToString(), timeout=deadline, metadata=tuple(self._metadata.items()))
        try:
            async for reply in call:
                return Answer(OK, "", began, time.monotonic() - began, reply)
        except grpc.aio.AioRpcError as error:
            return Answer(
                error.code(), error.details() or "", began, time.monotonic() - began, b"", _retry_after(error)
            )
        finally:
            call.cancel()
        return Answer(OK, "", began, time.monotonic() - began)

    async def create(
        self, webhook: tuple[str, str], data: Mapping[str, Any], *, key: str = "", deadline: float | None = 10
    ) -> Answer:
        """Event.create, under an idempotency key if there is one."""
        return await self.call(
            f"{EVENT}/create",
            create_request(webhook, data),
            deadline=deadline,
            metadata={"idempotency-key": key} if key else {},
        )

    async def list(self, deadline: float | None = 10, **query: Any) -> Answer:
        """Event.list of a webhook, or of whatever field is given."""
        return await self.call(f"{EVENT}/list", event_pb2.EventQuery(**query), deadline=deadline)

    async def get(self, event_id: str, deadline: float | None = 10) -> Answer:
        return await self.call(f"{EVENT}/get", event_pb2.EventRequest(event_id=event_id), deadline=deadline)


def create_request(webhook: tuple[str, str], data: Mapping[str, Any]) -> event_pb2.CreateEventRequest:
    """Return the message that delivers a payload."""
    request = event_pb2.CreateEventRequest(webhook_id=webhook[0], access_key=webhook[1])
    request.data.update(data)
    return request


def events_of(service: Service, webhook: tuple[str, str], *fields: str) -> list[dict[str, Any]]:
    """Return all stored events of a webhook, oldest first."""
    query: dict[str, Any] = {"page": {"limit": 1_000_000}, "sort": [{"key": "created_at"}]}
    if fields:
        query["only"] = list(fields)
    reply = service.call("Event", "list", {"webhook_id": webhook[0], "query": query})
    rows: list[dict[str, Any]] = reply.get("results", [])
    assert len(rows) == reply.get("total_count", 0)
    return rows


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds() / 1000)
    return None
