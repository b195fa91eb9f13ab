"""A real server on a free port of this process, and real clients for it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.concurrency.thread_pool import RunInThread
from event_service.identity.authenticator import Authenticator, NoAuthentication
from event_service.model.webhook import PluginInfo, Webhook
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import Handler
from event_service.rpc.server import GrpcServer, Service
from event_service.settings import Settings

EVENT = event_pb2.DESCRIPTOR.services_by_name["Event"]
NO_AUTHENTICATION = NoAuthentication("domain-1", "workspace-1")


async def echo(request: bytes, context: RpcContext) -> bytes:
    return request


class Methods:
    """A servicer of `Event` whose methods are given by name; what is not given echoes."""

    def __init__(self, **methods: Handler) -> None:
        self.create = self.get = self.list = self.stat = echo
        for name, method in methods.items():
            setattr(self, name, method)


def settings(**values: Any) -> Settings:
    return Settings(grpc_address="127.0.0.1:0", **values)


@asynccontextmanager
async def serving(
    servicer: object,
    *,
    descriptor: ServiceDescriptor = EVENT,
    authenticator: Authenticator = NO_AUTHENTICATION,
    open_methods: Sequence[str] = ("create",),
    observe: Callable[[str, str, float], None] | None = None,
    **values: Any,
) -> AsyncIterator[GrpcServer]:
    service = Service(descriptor, servicer, frozenset(open_methods))
    server = GrpcServer(settings(**values), [service], authenticator, observe=observe)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(1.0)


@asynccontextmanager
async def connected(server: GrpcServer, **options: Any) -> AsyncIterator[Callable[..., Awaitable[bytes]]]:
    """A function that calls a method of `Event` with bytes: `await ask("get", b"...")`."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", **options) as channel:

        def ask(method: str, request: bytes = b"", **arguments: Any) -> Any:
            return channel.unary_unary(f"/{EVENT.full_name}/{method}")(request, **arguments)

        yield ask


async def failure(call: Awaitable[bytes]) -> grpc.aio.AioRpcError:
    """The error a call ends with."""
    try:
        reply = await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"answered {reply!r}")


def webhook_of(webhook_id: str) -> Webhook:
    """A webhook of this id."""
    return Webhook(webhook_id, "hook", "d", "w", "p", PluginInfo("auto"), datetime(2026, 1, 1, tzinfo=UTC))


def noting(done: list[str]) -> RunInThread:
    """Runs a function, and notes it in `done` as "read"."""

    async def run_in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
        done.append("read")
        return function(*arguments)

    return run_in_thread
