"""Which function answers which method, built once at start and held against the protobuf descriptors."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from event_service.errors import InvalidArgument
from event_service.rpc.context import RpcContext

MessageType = TypeVar("MessageType", bound=Message)

Handler = Callable[[bytes, RpcContext], Awaitable[bytes]]
"""A method: the serialised request in, the serialised reply out; refuses by raising an EventServiceError."""

Interceptor = Callable[[bytes, RpcContext, Handler], Awaitable[bytes]]
"""Something every call passes: it may look, refuse, or `await proceed(request, call)`."""


def compose(interceptors: Sequence[Interceptor], handler: Handler) -> Handler:
    """The handler behind the interceptors, the first of them outermost."""

    def behind(interceptor: Interceptor, proceed: Handler) -> Handler:
        def pass_on(request: bytes, call: RpcContext) -> Awaitable[bytes]:
            return interceptor(request, call, proceed)

        return pass_on

    for interceptor in reversed(interceptors):
        handler = behind(interceptor, handler)
    return handler


def method_table(descriptor: ServiceDescriptor, servicer: object) -> dict[str, Handler]:
    """The servicer's methods by full name, `/package.Service/method`.

    A method named `RotateKey` in the contract is answered by `rotate_key`. One whose requests stream is a handler too:
    its request is b"", and what is sent is in the call's requests; one whose replies stream puts them into the call's
    responses, and what it returns is dropped. `streaming_methods` and `watching_methods` name these.

    Raises:
        ValueError: the servicer lacks a method of the contract, or the contract streams both ways.
    """
    table: dict[str, Handler] = {}
    for method in descriptor.methods:
        if method.server_streaming and method.client_streaming:
            raise ValueError(f"{method.full_name} streams both ways, for which there are no handlers yet")
        handler = getattr(servicer, _python_name(method.name), None)
        if handler is None:
            raise ValueError(f"{type(servicer).__name__} does not answer {method.full_name}")
        table[f"/{descriptor.full_name}/{method.name}"] = handler
    return table


def streaming_methods(descriptor: ServiceDescriptor) -> frozenset[str]:
    """The full names of the methods whose requests stream."""
    return frozenset(
        f"/{descriptor.full_name}/{method.name}" for method in descriptor.methods if method.client_streaming
    )


def watching_methods(descriptor: ServiceDescriptor) -> frozenset[str]:
    """The full names of the methods whose replies stream."""
    return frozenset(
        f"/{descriptor.full_name}/{method.name}" for method in descriptor.methods if method.server_streaming
    )


def decode(kind: type[MessageType], request: bytes) -> MessageType:
    """The request as a message.

    Raises:
        InvalidArgument: the bytes are not one. (gRPC's own decoding would answer UNKNOWN.)
    """
    try:
        return kind.FromString(request)
    except DecodeError:
        raise InvalidArgument.at("request", f"is not a valid {kind.DESCRIPTOR.full_name}") from None


def _python_name(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
