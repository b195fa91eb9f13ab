"""Events.Export over a real connection: contents, permissions, and flow control for slow readers."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from event_service._gen.event_service.v1 import events_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument
from event_service.events.export import Part
from event_service.identity.principal import Principal, Role
from event_service.model.scope import Scope
from event_service.rpc.context import RpcContext
from event_service.rpc.events_servicer import DESCRIPTOR, EventsServicer
from event_service.wire.event_info import encode_event_info
from tests.unit.rpc.serving import serving

PAGE = 256 * 1024


class FakeExporter:
    """Pages of one large event, `pages` of them."""

    def __init__(self, pages: int = 2) -> None:
        self.pages = pages
        self.asked: list[tuple[Scope, Mapping[str, Any], Mapping[str, str], str]] = []
        self.read = 0
        self.left = asyncio.Event()

    async def export(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], token: str = ""
    ) -> AsyncGenerator[Part, None]:
        self.asked.append((scope, query, equals, token))
        if token == "wrong":
            raise InvalidArgument.at("resume_token", "is not valid")
        try:
            while self.read < self.pages:
                self.read += 1
                row = encode_event_info({"event_id": f"event-{self.read}", "description": "x" * PAGE})
                yield Part([row, row], f"token-{self.read}")
        finally:
            self.left.set()


@asynccontextmanager
async def exporting(exporter: FakeExporter) -> AsyncIterator[Any]:
    """A function that makes a call of Export."""
    servicer = EventsServicer(None, None, exporter)  # type: ignore[arg-type]  # nothing else is asked here
    async with (
        serving(servicer, descriptor=DESCRIPTOR) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        rpc = channel.unary_stream(
            "/event_service.v1.Events/Export",
            request_serializer=events_pb2.ExportRequest.SerializeToString,
            response_deserializer=events_pb2.ExportResponse.FromString,
        )
        yield lambda timeout=None, **fields: rpc(events_pb2.ExportRequest(**fields), timeout=timeout)


async def test_export_ends_after_last_event() -> None:
    exporter = FakeExporter()
    async with exporting(exporter) as ask:
        received = [one async for one in ask(query=event_pb2.EventQuery(severity="ERROR"), resume_token="before")]
    assert [([event.event_id for event in one.results], one.resume_token) for one in received] == [
        (["event-1", "event-1"], "token-1"),
        (["event-2", "event-2"], "token-2"),
    ]
    assert exporter.asked == [(Scope("domain-1", "workspace-1"), {}, {"severity": "ERROR"}, "before")]


async def test_slow_reader_pauses_page_reads() -> None:
    exporter = FakeExporter(1000)
    async with exporting(exporter) as ask:
        call = ask()
        await call.read()
        # What fits into the buffers of HTTP/2 and the sockets is on its way; the rest is not even read.
        before = -1
        while before != exporter.read:
            before = exporter.read
            await asyncio.sleep(0.3)
        assert exporter.read < 100
        call.cancel()
        await asyncio.wait_for(exporter.left.wait(), 10)


async def test_deadline_ends_export() -> None:
    exporter = FakeExporter(1000)
    async with exporting(exporter) as ask:
        call = ask(timeout=0.3)
        await call.read()
        await asyncio.wait_for(exporter.left.wait(), 10)
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert exporter.read < 1000


async def test_invalid_resume_token_refused() -> None:
    async with exporting(FakeExporter()) as ask:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(resume_token="wrong").read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


class Replies:
    """A ResponseStream that records what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def revalidate_with(self, revalidate: object) -> None: ...

    async def send(self, message: bytes) -> None:
        self.sent.append(message)

    def check(self) -> None: ...


@pytest.mark.parametrize(
    ("principal", "scope"),
    [
        (Principal(Role.SYSTEM_TOKEN, "d-1", "ws-1"), Scope("d-1", "ws-1")),
        (Principal(Role.DOMAIN_ADMIN, "d-1"), Scope("d-1")),
        (Principal(Role.WORKSPACE_OWNER, "d-1", "ws-1"), Scope("d-1", "ws-1")),
        (Principal(Role.WORKSPACE_MEMBER, "d-1", "ws-1", ("p-1",)), Scope("d-1", "ws-1", ("p-1",))),
        (Principal(Role.WORKSPACE_MEMBER, "d-1", "ws-1", ()), Scope("d-1", "ws-1", ())),
    ],
    ids=["system", "admin", "owner", "member", "member of nothing"],
)
async def test_scope_same_as_list(principal: Principal, scope: Scope) -> None:
    exporter, replies = FakeExporter(1), Replies()
    servicer = EventsServicer(None, None, exporter)  # type: ignore[arg-type]
    await servicer.export(b"", RpcContext("/x", {}, principal=principal, responses=replies))
    assert exporter.asked == [(scope, {}, {}, "")]
    assert len(replies.sent) == 1
