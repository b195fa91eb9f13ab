"""The table of methods and handlers, built once at start and verified against the protobuf descriptors."""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from event_service.errors import InvalidArgument, TooLarge
from event_service.rpc.context import RpcContext
from event_service.wire.json_text import LARGE_BODY, MAX_VALUES
from event_service.wire.scan import TooManyFields, check_fields, split_field

MAX_FIELDS = 2 * MAX_VALUES
"""Fields of a payload at all levels. A value takes two fields in a list, and four in an object."""

MAX_QUERY_BYTES = 1024 * 1024
"""Size of a request with a query: 10,000 values of 100 bytes."""

MAX_REQUEST_BYTES = 256 * 1024
"""Size of a request with neither a query nor a payload. The largest has a webhook's options and tags, 64 KiB each."""

MessageType = TypeVar("MessageType", bound=Message)

Handler = Callable[[bytes, RpcContext], Awaitable[bytes]]
"""A method: serialised request -> serialised reply; fails by raising an EventServiceError."""

Interceptor = Callable[[bytes, RpcContext, Handler], Awaitable[bytes]]
"""Runs around each call: raises, or returns `await call_next(request, context)`."""


def compose(interceptors: Sequence[Interceptor], handler: Handler) -> Handler:
    """Return the handler wrapped in the interceptors, the first of them outermost."""

    def wrap(interceptor: Interceptor, call_next: Handler) -> Handler:
        def wrapped(request: bytes, context: RpcContext) -> Awaitable[bytes]:
            return interceptor(request, context, call_next)

        return wrapped

    for interceptor in reversed(interceptors):
        handler = wrap(interceptor, handler)
    return handler


def method_table(descriptor: ServiceDescriptor, servicer: object) -> dict[str, Handler]:
    """Return the servicer's methods by full name, `/package.Service/method`.

    `rotate_key` handles the contract's `RotateKey`. Streaming methods are handlers too: with streamed requests, the
    request is b"" and the messages are in `context.requests`; streamed replies go to `context.responses`, and the
    return value is dropped. `client_streaming_methods` and `server_streaming_methods` name these.

    Raises:
        ValueError: the servicer lacks a method of the contract, or the contract streams both ways.
    """
    table: dict[str, Handler] = {}
    for method in descriptor.methods:
        if method.server_streaming and method.client_streaming:
            raise ValueError(f"{method.full_name} streams both ways, which is not supported")
        handler = getattr(servicer, _python_name(method.name), None)
        if handler is None:
            raise ValueError(f"{type(servicer).__name__} does not implement {method.full_name}")
        table[f"/{descriptor.full_name}/{method.name}"] = handler
    return table


def request_limits(descriptor: ServiceDescriptor, payload_methods: Collection[str]) -> dict[str, int]:
    """Return the most bytes of a request of each method that takes no payload, by its full name."""
    return {
        f"/{descriptor.full_name}/{method.name}": MAX_QUERY_BYTES
        if "query" in method.input_type.fields_by_name
        else MAX_REQUEST_BYTES
        for method in descriptor.methods
        if method.name not in payload_methods
    }


def client_streaming_methods(descriptor: ServiceDescriptor) -> frozenset[str]:
    """Return the full names of the methods whose requests stream."""
    return frozenset(
        f"/{descriptor.full_name}/{method.name}" for method in descriptor.methods if method.client_streaming
    )


def server_streaming_methods(descriptor: ServiceDescriptor) -> frozenset[str]:
    """Return the full names of the methods whose replies stream."""
    return frozenset(
        f"/{descriptor.full_name}/{method.name}" for method in descriptor.methods if method.server_streaming
    )


def decode(kind: type[MessageType], request: bytes) -> MessageType:
    """Parse a request.

    Raises:
        InvalidArgument: the bytes are not a message of this kind. (gRPC's own decoding would answer UNKNOWN.)
    """
    try:
        return kind.FromString(request)
    except DecodeError:
        raise _invalid(kind) from None


def decode_small(kind: type[MessageType], request: bytes) -> MessageType:
    """Parse a request of a method without interceptors, which would limit its size.

    Raises:
        InvalidArgument: the bytes are not a message of this kind, or more than MAX_REQUEST_BYTES.
    """
    if len(request) > MAX_REQUEST_BYTES:
        raise InvalidArgument.at("request", f"has {len(request)} bytes; at most {MAX_REQUEST_BYTES} are allowed")
    return decode(kind, request)


def decode_without(
    kind: type[MessageType], request: bytes, field: str, most_fields: int
) -> tuple[MessageType, list[memoryview]]:
    """Parse a request but for one field, which is large and comes from a caller not authenticated yet.

    Args:
        field: name of a message field, repeated or not.
        most_fields: limit of fields of the request, each occurrence counted.

    Returns:
        The request without the field, and the serialised contents of the field's occurrences.

    Raises:
        InvalidArgument: the bytes are not a message of this kind, or the rest of it is too large.
    """
    try:
        rest, contents = split_field(request, kind.DESCRIPTOR.fields_by_name[field].number, most_fields)
    except ValueError:
        raise _invalid(kind) from None
    except TooManyFields:
        raise InvalidArgument.at(field, f"the request has more than {most_fields} fields; send fewer") from None
    if len(rest) > LARGE_BODY:
        raise InvalidArgument.at("request", f"has more than {LARGE_BODY} bytes beside {field}")
    return decode(kind, rest), contents


def check_payload(wire: bytes | memoryview, kind: type[Message], path: str) -> None:
    """Check the number of fields of a payload, before it is parsed.

    Args:
        kind: of the message that holds the payload.
        path: of the payload.

    Raises:
        TooLarge: more than MAX_FIELDS.
    """
    try:
        check_fields(wire, kind, MAX_FIELDS)
    except TooManyFields:
        raise TooLarge.at(path, f"has more than {MAX_FIELDS} protobuf fields; send it in parts") from None


def _invalid(kind: type[Message]) -> InvalidArgument:
    return InvalidArgument.at("request", f"is not a valid {kind.DESCRIPTOR.full_name}")


def _python_name(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
