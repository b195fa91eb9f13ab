"""The gRPC server: its port, limits, connections, and how it starts and stops. The only module that knows grpc.aio.

Handlers take and give bytes: requests are decoded in the servicers, so that garbage is INVALID_ARGUMENT, and replies
are often stored bytes that need no encoding.
"""

import errno
import logging
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from event_service.errors import EventServiceError, Overloaded
from event_service.identity.authenticator import Authenticator
from event_service.rpc.concurrency_limit import Admission
from event_service.rpc.context import RpcContext
from event_service.rpc.health import SERVICE as HEALTH
from event_service.rpc.health import Health
from event_service.rpc.interceptors import Observer, errors, interceptors
from event_service.rpc.methods import Handler, Interceptor, compose, method_table, streaming_methods, watching_methods
from event_service.rpc.reflection import METHODS as REFLECTION_METHODS
from event_service.rpc.reflection import Reflection
from event_service.rpc.request_stream import RequestStream
from event_service.rpc.response_stream import ResponseStream
from event_service.rpc.status import failure_of
from event_service.settings import Settings
from event_service.tls import server_credentials, tls_files

_log = logging.getLogger(__name__)

_CLOSING_SECONDS = 0.25  # for what is on the wire when all calls are answered, and for streams to end
_PENDING = 8192  # calls that wait for their turn, of all connections


class PortTaken(Exception):
    """The address cannot be listened on; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the contract and who answers it.

    Attributes:
        servicer: has an `async def name(request: bytes, call: RpcContext) -> bytes` for each method.
        open_methods: names of methods whose requests carry their own credentials: nobody asks for a token there.
    """

    descriptor: ServiceDescriptor
    servicer: object
    open_methods: frozenset[str] = field(default_factory=frozenset)


class GrpcServer:
    """A server that is started once and stopped once.

    Args:
        settings: address, limits, TLS.
        services: what it answers beside health and reflection.
        authenticator: who calls.
        observe: told of every call, for metrics.
        span: makes each call's OpenTelemetry span; None where nothing is traced.

    Attributes:
        health: to be set serving when the service can do its work. It starts as not serving.
    """

    def __init__(
        self,
        settings: Settings,
        services: Sequence[Service],
        authenticator: Authenticator,
        *,
        observe: Observer | None = None,
        span: Interceptor | None = None,
    ) -> None:
        self._settings = settings
        names = [service.descriptor.full_name for service in services]
        self.health = Health(names)
        self._admission = Admission(settings.grpc_max_calls, settings.grpc_memory_bytes)
        composed = self._compose(services, authenticator, observe, span)
        streaming = frozenset[str]().union(*(streaming_methods(service.descriptor) for service in services))
        watching = frozenset[str]().union(*(watching_methods(service.descriptor) for service in services))
        self._unary = {path: run for path, run in composed.items() if path not in streaming | watching}
        self._server_streaming = {path: run for path, run in composed.items() if path in watching}
        self._client_streaming = {path: run for path, run in composed.items() if path in streaming}
        watch = _bounded(self.health.watch, settings.grpc_max_calls)
        reflect = _bounded(Reflection([*names, HEALTH]).answer, settings.grpc_max_calls)
        self._streams = {
            f"/{HEALTH}/Watch": grpc.unary_stream_rpc_method_handler(watch),
            **{path: grpc.stream_stream_rpc_method_handler(reflect) for path in REFLECTION_METHODS},
        }
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port it listens on, once it is started."""
        return self._port

    @property
    def methods(self) -> Mapping[str, Handler]:
        """Every method that does not stream, behind its interceptors, by `/package.Service/method`, for other doors."""
        return self._unary

    @property
    def calls_under_way(self) -> int:
        """Calls that have been let in and not been answered yet."""
        return self._admission.under_way

    async def start(self) -> None:
        """Listens and answers. Health stays not serving until it is set.

        Raises:
            PortTaken: somebody else has the port, or the address is not of this machine.
            TlsError: the certificate files cannot be used.
        """
        address = self._settings.grpc_address
        files = tls_files(self._settings)
        credentials = server_credentials(files) if files is not None else None
        check_free(address)
        server = grpc.aio.server(options=server_options(self._settings))
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
        """Not serving at once; calls that come are told to go elsewhere, those under way are answered; then it closes.

        Args:
            grace: seconds in which all of it happens. What is not answered by then is answered UNAVAILABLE.
        """
        self.health.stop()
        if self._server is None:
            return
        left = await self._admission.drain(max(0.0, grace - 2 * _CLOSING_SECONDS))
        if left:
            _log.warning("%d calls were cut off after %.1f s", left, grace)
        await self.health.left_alone(_CLOSING_SECONDS)
        await self._server.stop(_CLOSING_SECONDS)
        self._server = None

    def _handlers(self) -> "dict[str, grpc.RpcMethodHandler[Any, Any]]":
        unary = {path: grpc.unary_unary_rpc_method_handler(_carry(path, run)) for path, run in self._unary.items()}
        streaming = {
            path: grpc.stream_unary_rpc_method_handler(_carry_stream(path, run, self._admission))
            for path, run in self._client_streaming.items()
        }
        watching = {
            path: grpc.unary_stream_rpc_method_handler(_carry_replies(path, run, self._admission))
            for path, run in self._server_streaming.items()
        }
        return {**unary, **streaming, **watching, **self._streams}

    def _compose(
        self,
        services: Sequence[Service],
        authenticator: Authenticator,
        observe: Observer | None,
        span: Interceptor | None,
    ) -> dict[str, Handler]:
        closed = interceptors(authenticator=authenticator, admission=self._admission, observe=observe, span=span)
        opened = interceptors(authenticator=None, admission=self._admission, observe=observe, span=span)
        table: dict[str, Handler] = {}
        for service in services:
            for path, handler in method_table(service.descriptor, service.servicer).items():
                is_open = path.rpartition("/")[2] in service.open_methods
                table[path] = compose(opened if is_open else closed, handler)
        for path, handler in self.health.unary_methods().items():  # answered under any load
            table[path] = compose([errors], handler)
        return table


_Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
_Sent = TypeVar("_Sent")


def _bounded(
    stream: Callable[[_Sent, _Context], AsyncGenerator[bytes, None]], most: int
) -> Callable[[_Sent, _Context], AsyncGenerator[bytes, None]]:
    """A stream that passes by the interceptors, at most so many times at once: it needs no token, and may stay open."""
    under_way = 0

    async def bounded(sent: _Sent, context: _Context) -> AsyncGenerator[bytes, None]:
        nonlocal under_way
        if under_way >= most:
            failure = failure_of(Overloaded("Too many of these streams are open."))
            await context.abort(failure.code, failure.details, failure.trailers)
        under_way += 1
        try:
            async with aclosing(stream(sent, context)) as replies:
                async for reply in replies:
                    yield reply
        finally:
            under_way -= 1

    return bounded


def _carry(path: str, run: Handler) -> Callable[[bytes, _Context], Any]:
    """The method as grpc.aio calls it."""

    async def carry(request: bytes, context: _Context) -> bytes:
        answer = _answer(run, request, _call(path, context), context)
        del request  # see _answer
        return await answer

    return carry


def _carry_stream(path: str, run: Handler, admission: Admission) -> Callable[[AsyncIterator[bytes], _Context], Any]:
    """The same for a method whose requests stream."""

    async def carry(requests: AsyncIterator[bytes], context: _Context) -> bytes:
        call = _call(path, context)
        async with RequestStream(requests, admission) as stream:
            call.requests = stream
            return await _answer(run, b"", call, context)

    return carry


def _carry_replies(path: str, run: Handler, admission: Admission) -> Callable[[bytes, _Context], Any]:
    """The same for a method whose replies stream."""

    async def carry(request: bytes, context: _Context) -> None:
        call = _call(path, context)
        call.responses = ResponseStream(context.write, admission)
        await _answer(run, request, call, context)

    return carry


def _call(path: str, context: _Context) -> RpcContext:
    remaining = context.time_remaining()
    return RpcContext(
        path,
        {name: value for name, value in context.invocation_metadata() or () if type(value) is str},
        None if remaining is None else time.monotonic() + remaining,
    )


async def _answer(run: Handler, request: bytes, call: RpcContext, context: _Context) -> bytes:
    try:
        reply = await run(request, call)
    except EventServiceError as error:
        failure = failure_of(error, call.request_id)
    else:
        if call.trailers:
            context.set_trailing_metadata(tuple(call.trailers))
        return reply
    # What abort raises stands in a cycle with its frames, which would keep the request until garbage is collected.
    del request
    # The call's own trailers tell of what was done; beside the details there would be no room for them.
    await context.abort(failure.code, failure.details, failure.trailers)
    raise AssertionError("abort always raises")


class _Table(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Finds the handler of a method by one look-up."""

    def __init__(self, handlers: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]) -> None:
        self._find = handlers.get

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        return self._find(handler_call_details.method)


def server_options(settings: Settings) -> list[tuple[str, int]]:
    """gRPC's channel arguments. Times are in milliseconds."""
    options = [
        ("grpc.so_reuseport", 0),  # a port that is taken is an error and not half of the calls
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # A client that opens more waits by itself.
        ("grpc.max_concurrent_streams", settings.grpc_max_calls_per_connection),
        # What has come in and waits for its turn. Beyond it gRPC ends calls as CANCELLED, which tells a caller nothing:
        # there is room until our own admission refuses them, also after a second in which none had its turn.
        ("grpc.server.max_pending_requests", settings.grpc_max_calls + _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", settings.grpc_max_calls + _PENDING),
        # A connection whose other end is gone is noticed; a client may ask as often itself.
        ("grpc.keepalive_time_ms", settings.keepalive_seconds * 1000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        # Connections that never say anything are closed.
        ("grpc.server_handshake_timeout_ms", 10_000),
    ]
    if not settings.grpc_compression:
        # Only what is not compressed at all. gRPC unpacks a message before it looks at its length.
        options.append(("grpc.compression_enabled_algorithms_bitset", 1))
    if settings.connection_age_seconds:
        options += [
            ("grpc.max_connection_age_ms", settings.connection_age_seconds * 1000),
            ("grpc.max_connection_age_grace_ms", round(settings.grace_seconds * 1000)),
        ]
    return options


def check_free(address: str) -> None:
    """Makes sure that the address can be listened on; gRPC's own answer does not say what is wrong.

    Args:
        address: HOST:PORT; `[::1]:50051` for IPv6. Port 0 is any free one.

    Raises:
        PortTaken: it cannot; with the system's reason.
    """
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, where in found:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(where)
    except (OSError, ValueError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        reason = "another process has that port" if taken else str(error)
        raise PortTaken(f"cannot listen on {address}: {reason}") from error
