"""Events.Watch over a real connection: what is told, to whom, and how it ends."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from event_service._gen.event_service.v1 import events_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument, Overloaded, Unauthenticated, Unavailable
from event_service.events.watch import WatchBatch
from event_service.identity.principal import Principal
from event_service.model.scope import Scope
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.events_servicer import DESCRIPTOR, EventsServicer
from event_service.rpc.response_stream import ResponseStream
from event_service.rpc.server import GrpcServer
from event_service.wire.event_info import encode_event_info
from tests.unit.rpc.serving import EVERYBODY, serving


class FakeWatcher:
    """Tells two events, then nothing for as long as anybody listens."""

    def __init__(self) -> None:
        self.asked: list[tuple[Scope, Mapping[str, Any], Mapping[str, str], str]] = []
        self.left = asyncio.Event()

    async def watch(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], token: str = ""
    ) -> AsyncGenerator[WatchBatch, None]:
        self.asked.append((scope, query, equals, token))
        if token == "wrong":
            raise InvalidArgument.at("resume_token", "is not valid")
        try:
            yield WatchBatch([encode_event_info({"event_id": f"event-{number}"}) for number in (1, 2)], "token-1")
            while True:
                yield WatchBatch((), "token-2")
                await asyncio.sleep(0.01)
        finally:
            self.left.set()


class Nobody:
    def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        raise Unauthenticated


@asynccontextmanager
async def watching(watcher: FakeWatcher, authenticator: Any = EVERYBODY) -> AsyncIterator[tuple[GrpcServer, Any]]:
    """A server, and a function that makes a call of Watch."""
    servicer = EventsServicer(None, watcher, None)  # type: ignore[arg-type]  # nothing is replayed here
    async with (
        serving(servicer, descriptor=DESCRIPTOR, authenticator=authenticator) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        rpc = channel.unary_stream(
            "/event_service.v1.Events/Watch",
            request_serializer=events_pb2.WatchRequest.SerializeToString,
            response_deserializer=events_pb2.WatchResponse.FromString,
        )
        yield server, lambda **fields: rpc(events_pb2.WatchRequest(**fields))


async def refusal(call: Any) -> grpc.StatusCode:
    """How a call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return caught.value.code()


async def test_events_come_with_a_token_behind_the_last() -> None:
    watcher = FakeWatcher()
    async with watching(watcher) as (_, ask):
        call = ask(query=event_pb2.EventQuery(severity="CRITICAL"), resume_token="before")
        told = [await call.read() for _ in range(3)]
        call.cancel()
        assert [(one.event.event_id, one.resume_token) for one in told] == [
            ("event-1", ""),
            ("event-2", "token-1"),
            ("", "token-2"),
        ]
        assert watcher.asked == [(Scope("domain-1", "workspace-1"), {}, {"severity": "CRITICAL"}, "before")]
        await asyncio.wait_for(watcher.left.wait(), 10)


async def test_who_may_not_read_is_told_nothing() -> None:
    watcher = FakeWatcher()
    async with watching(watcher, Nobody()) as (_, ask):
        assert await refusal(ask()) is grpc.StatusCode.UNAUTHENTICATED
    assert watcher.asked == []


async def test_a_stream_ends_with_its_callers_token() -> None:
    class Revocable:
        holds = True

        def authenticate(self, metadata: Mapping[str, str]) -> Principal:
            if not self.holds:
                raise Unauthenticated
            return EVERYBODY.authenticate(metadata)

    watcher, tokens = FakeWatcher(), Revocable()
    async with watching(watcher, tokens) as (_, ask):
        call = ask()
        await anext(aiter(call))
        tokens.holds = False
        assert await refusal(call) is grpc.StatusCode.UNAUTHENTICATED
        await asyncio.wait_for(watcher.left.wait(), 10)


async def test_a_wrong_token_is_refused() -> None:
    async with watching(FakeWatcher()) as (_, ask):
        assert await refusal(ask(resume_token="wrong")) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_stop_does_not_wait_for_watchers() -> None:
    async with watching(FakeWatcher()) as (server, ask):
        call = ask()
        await anext(aiter(call))
        started = asyncio.get_running_loop().time()
        ending = asyncio.create_task(refusal(call))
        await server.stop(10.0)
        assert await ending is grpc.StatusCode.UNAVAILABLE
        assert asyncio.get_running_loop().time() - started < 5
        assert server.calls_in_flight == 0


async def test_who_does_not_read_is_cut_off() -> None:
    async def never(message: bytes) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Overloaded):
        await ResponseStream(never, ConcurrencyLimit(1, 1), write_timeout=0.01).send(b"")


async def test_nothing_is_sent_once_the_server_stops() -> None:
    admission = ConcurrencyLimit(1, 1)
    await admission.drain(0)
    with pytest.raises(Unavailable):
        ResponseStream(lambda _: asyncio.sleep(0), admission).check()
