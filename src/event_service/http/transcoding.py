"""The gRPC methods as JSON over HTTP, at the paths their google.api.http options give them.

Routes, request and reply types come from the protobuf descriptors, and the same function handles the rpc and its HTTP
form. Field names are those of the proto files; requests may also use protobuf's JSON names.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import InvalidArgument, RequiredParameter, TooLarge, UnsupportedMediaType
from event_service.http.authentication import RequestAuthenticator
from event_service.http.body import BodyReader
from event_service.http.collector import joined_headers
from event_service.http.error_response import REQUEST_ID
from event_service.query.size import LARGE_QUERY_BYTES, MAX_QUERY_VALUES
from event_service.wire.json_text import LARGE_BODY, MAX_VALUES, NestedTooDeeply, NotJson, TooManyValues, parse_json

# A filter has three values beside those that the query language counts.
MAX_JSON_VALUES = 4 * MAX_QUERY_VALUES

# Encoding a larger reply as JSON would block the event loop for too long.
ENCODED_IN_THREAD_BYTES = 64 * 1024

# protobuf nests the error of each level in the next one's, and rarely includes the whole path.
_STEP = re.compile(r"Failed to parse (\w+) field: ")
_AT = re.compile(r' at "?\w+\.([\w.\[\]]*\w\]?)"?')
_UNKNOWN = re.compile(r'has no field named "([^"]*)"')


class CallContext(Protocol):
    """The part of `rpc/context.py` that is used here; `http` and `rpc` must not import each other."""

    trailers: list[tuple[str, str]]


CallT = TypeVar("CallT", bound=CallContext)


@dataclass(frozen=True, slots=True)
class Binding:
    """One method at one path.

    Attributes:
        name: gRPC's name of the method: `/package.Service/method`.
    """

    name: str
    path: str
    method: MethodDescriptor


def bindings(services: Sequence[ServiceDescriptor]) -> list[Binding]:
    """Return the methods that have a google.api.http option.

    Raises:
        ValueError: an option is not `post` with the whole body, the only form that the contract uses.
    """
    found = []
    for service in services:
        for method in service.methods:
            options = method.GetOptions()
            if not options.HasExtension(annotations_pb2.http):
                continue
            rule = options.Extensions[annotations_pb2.http]
            if not rule.post or rule.body != "*" or "{" in rule.post or rule.additional_bindings:
                raise ValueError(f"{method.full_name}: only `post` with body `*` can be transcoded")
            found.append(Binding(f"/{service.full_name}/{method.name}", rule.post, method))
    return found


class Transcoder(Generic[CallT]):
    """The routes of gRPC methods as JSON.

    Args:
        methods: handlers by `/package.Service/method`. They authenticate the call's metadata again, from a cache.
        open_methods: methods whose requests carry webhook_id and access_key, and need no token.
        admit: authenticates these, for large bodies before they are parsed. The handler does it again.
        new_call: makes a handler's context from the method's name, its metadata (HTTP headers, names in lower case;
            `x-domain-id` also as `x_domain_id`) and the request id.
        request_limits: largest body of a method, if smaller than `limit`, in bytes.
        limit: largest body, in bytes.
        run_in_thread: runs a function in a thread, for large bodies.
    """

    def __init__(
        self,
        *,
        services: Sequence[ServiceDescriptor],
        methods: Mapping[str, Callable[[bytes, CallT], Awaitable[bytes]]],
        open_methods: Collection[str],
        admit: Callable[[str, str], Awaitable[object]],
        request_limits: Mapping[str, int],
        authenticator: RequestAuthenticator,
        new_call: Callable[[str, Mapping[str, str], str], CallT],
        bodies: BodyReader,
        limit: int,
        run_in_thread: RunInThread,
    ) -> None:
        self._services = services
        self._methods = methods
        self._open_methods = open_methods
        self._admit = admit
        self._request_limits = request_limits
        self._authenticator = authenticator
        self._new_call = new_call
        self._bodies = bodies
        self._limit = limit
        self._run_in_thread = run_in_thread

    def routes(self) -> list[Route]:
        """Return one route for each method.

        Raises:
            ValueError: a method has no handler.
        """
        return [Route(binding.path, self._endpoint(binding), methods=["POST"]) for binding in bindings(self._services)]

    def _endpoint(self, binding: Binding) -> Callable[[Request], Awaitable[Response]]:
        handler = self._methods.get(binding.name)
        if handler is None:
            raise ValueError(f"{binding.name} has no handler")
        request_type = GetMessageClass(binding.method.input_type)
        reply_type = GetMessageClass(binding.method.output_type)

        needs_token = binding.name not in self._open_methods
        limit = min(self._limit, self._request_limits.get(binding.name, self._limit))
        has_query = "query" in binding.method.input_type.fields_by_name
        large = LARGE_QUERY_BYTES if has_query else LARGE_BODY
        most_values = MAX_JSON_VALUES if has_query else MAX_VALUES

        async def endpoint(request: Request) -> Response:
            metadata = _metadata(request)
            # Before the body is read: the bodies of unauthenticated callers are not.
            if needs_token:
                self._authenticator.authenticate(request, metadata)
            _check_content_type(request.headers.get("content-type", ""))
            call = self._new_call(binding.name, metadata, request.scope["state"][REQUEST_ID])
            async with self._bodies.read(request, limit) as body:
                if len(body) > large:
                    if not needs_token:
                        await self._admit(*credentials_of(body, request_type()))
                    message = await self._run_in_thread(read_message, body, request_type(), most_values)
                else:
                    message = read_message(body, request_type(), most_values)
                reply = await handler(message.SerializeToString(), call)
            headers = dict(call.trailers)
            if len(reply) > ENCODED_IN_THREAD_BYTES:
                return await asyncio.to_thread(_write_reply, reply, reply_type, headers)
            return _write_reply(reply, reply_type, headers)

        return endpoint


def read_message(body: bytes, message: Message, most_values: int = MAX_VALUES) -> Message:
    """Fill a request message from its JSON form. An empty body is an empty message.

    Args:
        most_values: limit of values in the JSON.

    Raises:
        InvalidArgument: the body is not the JSON form of this message; names the field.
        TooLarge: the body holds too many values.
    """
    try:
        value = parse_json(body, most_values=most_values) if body.strip() else {}
    except NotJson as problem:
        raise InvalidArgument.at("body", f"is not JSON: {problem}") from None
    except NestedTooDeeply:
        raise InvalidArgument.at("body", "is nested too deeply") from None
    except TooManyValues:
        raise TooLarge(f"The body holds more than {most_values} values.") from None
    if not isinstance(value, dict):
        raise InvalidArgument.at("body", "must be a JSON object")
    try:
        return json_format.ParseDict(value, message)
    except json_format.ParseError as error:
        raise _invalid(str(error)) from None
    except RecursionError:
        raise InvalidArgument.at("body", "is nested too deeply") from None


def credentials_of(body: bytes, message: Any) -> tuple[str, str]:
    """Return the credentials of a large request whose payloads are a list, which is not parsed.

    All from the first `[` to the last `]` is that list, since ids and keys have no brackets.

    Args:
        message: an empty request of its type.

    Raises:
        InvalidArgument: the rest is not the JSON form of the request, or lacks a credential.
        TooLarge: the rest is too large.
    """
    begin, end = body.find(b"[") + 1, body.rfind(b"]")
    if not 0 < begin <= end or len(body) - (end - begin) > LARGE_BODY:
        raise TooLarge.at("body", f"has more than {LARGE_BODY} bytes outside of its list of payloads")
    read_message(body[:begin] + body[end:], message)
    for name in ("webhook_id", "access_key"):
        if not getattr(message, name):
            raise RequiredParameter(name)
    return message.webhook_id, message.access_key


ALWAYS_WRITTEN = {"results", "total_count"}
"""Fields of a list that are written even if they are empty."""


def write_message(message: Message) -> dict[str, Any]:
    """Return the JSON form of a reply. A list has `results` and `total_count` even if empty."""
    value: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    if ALWAYS_WRITTEN.issubset(message.DESCRIPTOR.fields_by_name):
        value = {"results": [], "total_count": 0, **value}
    return value


def _write_reply(reply: bytes, reply_type: type[Message], headers: dict[str, str]) -> Response:
    return JSONResponse(write_message(reply_type.FromString(reply)), headers=headers)


def _check_content_type(content_type: str) -> None:
    # Browsers let any page send forms and text/plain to any site without asking; JSON needs a preflight request.
    if content_type.partition(";")[0].strip().lower() not in ("application/json", ""):
        raise UnsupportedMediaType("The body must be JSON, sent with the header Content-Type: application/json.")


def _metadata(request: Request) -> dict[str, str]:
    headers = joined_headers(request.scope["headers"])
    # gRPC metadata uses underscores; HTTP proxies drop header names that contain them.
    for name in ("x-domain-id", "x-workspace-id"):
        if name in headers:
            headers[name.replace("-", "_")] = headers[name]
    return headers


def _invalid(text: str) -> InvalidArgument:
    """Convert the text of a protobuf error; its field has the form `query.filter[0].k`."""
    steps = []
    while match := _STEP.match(text):
        steps.append(match[1])
        text = text[match.end() :]
    problem = text.split("\n", 1)[0].rstrip(".")[:300]
    path = ".".join(steps)
    if place := _AT.search(problem):
        # The longer path is the more complete one.
        path = max(path, place[1], key=len)
        problem = problem[: place.start()] + problem[place.end() :]
    if unknown := _UNKNOWN.search(problem):
        path = f"{path}.{unknown[1]}" if path else unknown[1]
        problem = "is an unknown field"
    return InvalidArgument.at(path or "body", problem)
