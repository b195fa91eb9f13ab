"""Events.Watch over a real connection: contents, permissions, and the ends of a stream."""

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
from tests.unit.rpc.serving import NO_AUTHENTICATION, serving


class FakeWatcher:
    """Yields two events, then waits until it is cancelled."""

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


class WithoutPermission:
    def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        raise Unauthenticated


@asynccontextmanager
async def watching(
    watcher: FakeWatcher, authenticator: Any = NO_AUTHENTICATION
) -> AsyncIterator[tuple[GrpcServer, Any]]:
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
    """Return the status code of a call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return caught.value.code()


async def test_watch_token_after_last_event() -> None:
    watcher = FakeWatcher()
    async with watching(watcher) as (_, ask):
        call = ask(query=event_pb2.EventQuery(severity="CRITICAL"), resume_token="before")
        received = [await call.read() for _ in range(3)]
        call.cancel()
        assert [(one.event.event_id, one.resume_token) for one in received] == [
            ("event-1", ""),
            ("event-2", "token-1"),
            ("", "token-2"),
        ]
        assert watcher.asked == [(Scope("domain-1", "workspace-1"), {}, {"severity": "CRITICAL"}, "before")]
        await asyncio.wait_for(watcher.left.wait(), 10)


async def test_watch_without_permission_refused() -> None:
    watcher = FakeWatcher()
    async with watching(watcher, WithoutPermission()) as (_, ask):
        assert await refusal(ask()) is grpc.StatusCode.UNAUTHENTICATED
    assert watcher.asked == []


async def test_watch_ends_when_token_expires() -> None:
    class Revocable:
        valid = True

        def authenticate(self, metadata: Mapping[str, str]) -> Principal:
            if not self.valid:
                raise Unauthenticated
            return NO_AUTHENTICATION.authenticate(metadata)

    watcher, tokens = FakeWatcher(), Revocable()
    async with watching(watcher, tokens) as (_, ask):
        call = ask()
        await anext(aiter(call))
        tokens.valid = False
        assert await refusal(call) is grpc.StatusCode.UNAUTHENTICATED
        await asyncio.wait_for(watcher.left.wait(), 10)


async def test_invalid_resume_token_refused() -> None:
    async with watching(FakeWatcher()) as (_, ask):
        assert await refusal(ask(resume_token="wrong")) is grpc.StatusCode.INVALID_ARGUMENT


async def test_stop_ends_watchers() -> None:
    async with watching(FakeWatcher()) as (server, ask):
        call = ask()
        await anext(aiter(call))
        started = asyncio.get_running_loop().time()
        ending = asyncio.create_task(refusal(call))
        await server.stop(10.0)
        assert await ending is grpc.StatusCode.UNAVAILABLE
        assert asyncio.get_running_loop().time() - started < 5
        assert server.calls_in_flight == 0


async def test_slow_reader_cancelled() -> None:
    async def never(message: bytes) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Overloaded):
        await ResponseStream(never, ConcurrencyLimit(1, 1), write_timeout=0.01).send(b"")


async def test_nothing_sent_after_stop() -> None:
    limit = ConcurrencyLimit(1, 1)
    await limit.drain(0)
    with pytest.raises(Unavailable):
        ResponseStream(lambda _: asyncio.sleep(0), limit).check()
