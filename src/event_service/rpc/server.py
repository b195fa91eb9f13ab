"""The gRPC server: port, TLS, limits, keepalive, start and graceful stop. The only module that uses grpc.aio.

Handlers take and return bytes: servicers decode requests, so that garbage is INVALID_ARGUMENT, and replies are often
stored bytes that need no encoding.
"""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from event_service.errors import EventServiceError, Overloaded
from event_service.identity.authenticator import Authenticator
from event_service.rpc.address import PortTaken, check_address
from event_service.rpc.compression import CHANNEL_ARGUMENTS, MAGIC, Decompressor
from event_service.rpc.concurrency_limit import ConcurrencyLimit
from event_service.rpc.context import RpcContext
from event_service.rpc.health import SERVICE as HEALTH
from event_service.rpc.health import Health
from event_service.rpc.interceptors import Observer, errors, interceptors
from event_service.rpc.methods import (
    Handler,
    Interceptor,
    client_streaming_methods,
    compose,
    method_table,
    request_limits,
    server_streaming_methods,
)
from event_service.rpc.reflection import method_path, reflections
from event_service.rpc.request_stream import RequestStream
from event_service.rpc.response_stream import ResponseStream
from event_service.rpc.status import failure_of
from event_service.settings import Settings
from event_service.tls import server_credentials, tls_files

_log = logging.getLogger(__name__)

MAX_METADATA_BYTES = 64 * 1024

_CLOSING_SECONDS = 0.25  # lets the last replies leave and streams end after all calls are answered
_IDLE_MS = 15 * 60_000
_PENDING = 8192  # calls waiting for the event loop, of all connections


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the contract and its servicer.

    Attributes:
        servicer: has an `async def name(request: bytes, context: RpcContext) -> bytes` for each method.
        open_methods: names of methods that need no token, since their requests carry credentials.
        payload_methods: names of further methods whose requests hold payloads, as those of `open_methods` do: they may
            have `max_message_bytes`, all others those of `methods.request_limits`.
    """

    descriptor: ServiceDescriptor
    servicer: object
    open_methods: frozenset[str] = field(default_factory=frozenset)
    payload_methods: frozenset[str] = field(default_factory=frozenset)


class GrpcServer:
    """A gRPC server, started once and stopped once.

    Args:
        settings: address, limits, TLS.
        services: the services beside health and reflection.
        authenticator: verifies tokens.
        observe: called for every completed call, for metrics.
        span: opens each call's OpenTelemetry span; None without tracing.
        reuse_port: share the port with other processes of this service.

    Attributes:
        health: starts as not serving; the application sets it.
        request_limits: most bytes of a request, by full name of the method; payloads have the server's limit only.
    """

    def __init__(
        self,
        settings: Settings,
        services: Sequence[Service],
        authenticator: Authenticator,
        *,
        observe: Observer | None = None,
        span: Interceptor | None = None,
        reuse_port: bool = False,
    ) -> None:
        self._settings = settings
        self._reuse_port = reuse_port
        names = [service.descriptor.full_name for service in services]
        self.health = Health(names)
        self._limit = ConcurrencyLimit(settings.grpc_max_calls, settings.grpc_memory_bytes)
        self.request_limits: Mapping[str, int] = {
            path: most
            for service in services
            for path, most in request_limits(service.descriptor, service.open_methods | service.payload_methods).items()
        }
        self._decompressor = Decompressor(settings.max_message_bytes, self._limit)
        composed = self._compose(services, authenticator, observe, span)
        requests_stream = frozenset[str]().union(*(client_streaming_methods(one.descriptor) for one in services))
        replies_stream = frozenset[str]().union(*(server_streaming_methods(one.descriptor) for one in services))
        self._unary = {path: run for path, run in composed.items() if path not in requests_stream | replies_stream}
        self._client_streaming = {path: run for path, run in composed.items() if path in requests_stream}
        self._server_streaming = {path: run for path, run in composed.items() if path in replies_stream}
        max_streams = settings.grpc_max_calls
        watch = _limited(self.health.watch, max_streams, self._decompressor.message)
        self._streams = {f"/{HEALTH}/Watch": grpc.unary_stream_rpc_method_handler(watch)}
        for name, reflection in reflections([*names, HEALTH]).items():
            answer = _limited(reflection.answer, max_streams, self._decompressor.stream)
            self._streams[method_path(name)] = grpc.stream_stream_rpc_method_handler(answer)
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port of the started server; 0 before."""
        return self._port

    @property
    def methods(self) -> Mapping[str, Handler]:
        """All unary methods with their interceptors, by `/package.Service/method`, for the HTTP transport."""
        return self._unary

    @property
    def calls_in_flight(self) -> int:
        """Number of calls admitted and not answered yet."""
        return self._limit.in_flight

    async def start(self) -> None:
        """Listen and serve. Health stays not serving until it is set.

        Raises:
            PortTaken: the port is in use, or the address is not local.
            TlsError: the certificate files cannot be used.
        """
        address = self._settings.grpc_address
        files = tls_files(self._settings)
        credentials = server_credentials(files) if files is not None else None
        if not self._reuse_port:
            check_address(address)
        server = grpc.aio.server(options=server_options(self._settings, reuse_port=self._reuse_port))
        server.add_generic_rpc_handlers([_Table(self._handlers())])
        try:
            self._port = (
                server.add_insecure_port(address)
                if credentials is None
                else server.add_secure_port(address, credentials)
            )
        except RuntimeError as error:
            raise PortTaken(f"cannot listen on {address}: {error}") from error
        await server.start()
        self._server = server
        _log.info("gRPC listens on %s:%d%s", address.rpartition(":")[0], self._port, " with TLS" if files else "")

    async def stop(self, grace: float) -> None:
        """Set health to not serving, refuse new calls with UNAVAILABLE, finish those in flight, then close.

        Args:
            grace: seconds for all of it. Calls unfinished by then are answered UNAVAILABLE.
        """
        self.health.stop()
        if self._server is None:
            return
        cancelled = await self._limit.drain(max(0.0, grace - 2 * _CLOSING_SECONDS))
        if cancelled:
            _log.warning("cancelled %d calls still in flight after %.1f s", cancelled, grace)
        await self.health.wait_for_watchers(_CLOSING_SECONDS)
        await self._server.stop(_CLOSING_SECONDS)
        self._server = None

    def _handlers(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        limit, decompressor = self._limit, self._decompressor
        unary = {
            path: grpc.unary_unary_rpc_method_handler(_unary(path, run, decompressor))
            for path, run in self._unary.items()
        }
        client_streaming = {
            path: grpc.stream_unary_rpc_method_handler(_client_streaming(path, run, limit, decompressor))
            for path, run in self._client_streaming.items()
        }
        server_streaming = {
            path: grpc.unary_stream_rpc_method_handler(_server_streaming(path, run, limit, decompressor))
            for path, run in self._server_streaming.items()
        }
        return {**unary, **client_streaming, **server_streaming, **self._streams}

    def _compose(
        self,
        services: Sequence[Service],
        authenticator: Authenticator,
        observe: Observer | None,
        span: Interceptor | None,
    ) -> dict[str, Handler]:
        table: dict[str, Handler] = {}
        for service in services:
            for path, handler in method_table(service.descriptor, service.servicer).items():
                is_open = path.rpartition("/")[2] in service.open_methods
                around = interceptors(
                    authenticator=None if is_open else authenticator,
                    limit=self._limit,
                    max_bytes=self.request_limits.get(path),
                    observe=observe,
                    span=span,
                )
                table[path] = compose(around, handler)
        for path, handler in self.health.unary_methods().items():  # no limit: probes must succeed under any load
            table[path] = compose([errors], handler)
        return table


_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
_RequestT = TypeVar("_RequestT")


def _limited(
    stream: Callable[[_RequestT, _Context], AsyncGenerator[bytes, None]],
    max_streams: int,
    receive: Callable[[_RequestT], Awaitable[_RequestT]],
) -> Callable[[_RequestT, _Context], AsyncGenerator[bytes, None]]:
    """Limit the concurrent streams of a method without interceptors: it needs no token, and may stay open.

    Args:
        receive: decompresses the request.
    """
    open_streams = 0

    async def limited(request: _RequestT, servicer_context: _Context) -> AsyncGenerator[bytes, None]:
        nonlocal open_streams
        open_streams += 1
        try:
            if open_streams > max_streams:
                raise Overloaded("Too many of these streams are open; close one, or try again later.")
            async with aclosing(stream(await receive(request), servicer_context)) as replies:
                async for reply in replies:
                    yield reply
        except EventServiceError as error:
            failure = failure_of(error)
            await servicer_context.abort(failure.code, failure.details, failure.trailers)
        finally:
            open_streams -= 1

    return limited


def _unary(path: str, run: Handler, decompressor: Decompressor) -> Callable[[bytes, _Context], Any]:
    run_compressed = decompressor.before(run)

    async def call(request: bytes, servicer_context: _Context) -> bytes:
        handler = run_compressed if request.startswith(MAGIC) else run
        answer = _answer(handler, request, _rpc_context(path, servicer_context), servicer_context)
        del request  # see _answer: frees the request while it is answered
        return await answer

    return call


def _client_streaming(
    path: str, run: Handler, limit: ConcurrencyLimit, decompressor: Decompressor
) -> Callable[[AsyncIterator[bytes], _Context], Any]:
    async def call(requests: AsyncIterator[bytes], servicer_context: _Context) -> bytes:
        context = _rpc_context(path, servicer_context)
        async with RequestStream(requests, limit, decompress=decompressor.message) as stream:
            context.requests = stream
            return await _answer(run, b"", context, servicer_context)

    return call


def _server_streaming(
    path: str, run: Handler, limit: ConcurrencyLimit, decompressor: Decompressor
) -> Callable[[bytes, _Context], Any]:
    run_compressed = decompressor.before(run)

    async def call(request: bytes, servicer_context: _Context) -> None:
        context = _rpc_context(path, servicer_context)
        context.responses = ResponseStream(servicer_context.write, limit)
        await _answer(run_compressed if request.startswith(MAGIC) else run, request, context, servicer_context)

    return call


def _rpc_context(path: str, servicer_context: _Context) -> RpcContext:
    remaining = servicer_context.time_remaining()
    return RpcContext(
        path,
        {name: value for name, value in servicer_context.invocation_metadata() or () if type(value) is str},
        None if remaining is None else time.monotonic() + remaining,
    )


async def _answer(run: Handler, request: bytes, context: RpcContext, servicer_context: _Context) -> bytes:
    try:
        reply = await run(request, context)
    except EventServiceError as error:
        failure = failure_of(error, context.request_id)
    else:
        if context.trailers:
            servicer_context.set_trailing_metadata(tuple(context.trailers))
        return reply
    # abort's exception is in a reference cycle with its frames, which would keep the request until the next GC.
    del request
    # The call's own trailers are dropped: with the details they would exceed the header limit of clients.
    await servicer_context.abort(failure.code, failure.details, failure.trailers)
    raise AssertionError("abort always raises")


class _Table(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Returns the handler of a method by one dictionary look-up."""

    def __init__(self, handlers: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]) -> None:
        self._find = handlers.get

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self._find(handler_call_details.method)


def server_options(settings: Settings, *, reuse_port: bool = False) -> list[tuple[str, int]]:
    """Return gRPC's channel arguments. Times are in milliseconds."""
    options = [
        # Else a port in use must be an error: sharing it would lose half of the calls.
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # By default gRPC refuses metadata from 8 KB on by chance; big tokens have more. As much as HTTP/1 accepts.
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        # A client queues calls beyond this by itself.
        ("grpc.max_concurrent_streams", settings.grpc_max_calls_per_connection),
        # Calls beyond this gRPC ends as CANCELLED, without a reason. So many fit that the concurrency limit, which says
        # RESOURCE_EXHAUSTED, refuses them first, even after the event loop was busy for a second.
        ("grpc.server.max_pending_requests", settings.grpc_max_calls + _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", settings.grpc_max_calls + _PENDING),
        # Pings detect dead peers; a client may ping as often as every 5 s itself.
        ("grpc.keepalive_time_ms", settings.keepalive_seconds * 1000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        # Closes connections without calls whose clients live. They open another for their next call.
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        # Closes connections that never complete the handshake.
        ("grpc.server_handshake_timeout_ms", 10_000),
    ]
    if settings.grpc_compression:
        options += CHANNEL_ARGUMENTS
    else:
        options.append(("grpc.compression_enabled_algorithms_bitset", 1))  # identity only
    if settings.connection_age_seconds:
        options += [
            ("grpc.max_connection_age_ms", settings.connection_age_seconds * 1000),
            ("grpc.max_connection_age_grace_ms", round(settings.grace_seconds * 1000)),
        ]
    return options
