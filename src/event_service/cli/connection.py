"""Calls to a running server, with JSON-like dicts in and out."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from event_service._gen.event_service.v1 import alerts_pb2, events_pb2, webhooks_pb2
from event_service._gen.spaceone.api.monitoring.v1 import alert_pb2, event_pb2, webhook_pb2
from event_service.cli.failures import USAGE, Failure, from_rpc_error

DEFAULT_SERVER = "127.0.0.1:50051"
DEFAULT_TIMEOUT = 30.0
# Doubles represent all integers up to here exactly.
LARGEST_EXACT = 2**53

ALERT = alert_pb2.DESCRIPTOR.services_by_name["Alert"]
ALERTS = alerts_pb2.DESCRIPTOR.services_by_name["Alerts"]
EVENT = event_pb2.DESCRIPTOR.services_by_name["Event"]
EVENTS = events_pb2.DESCRIPTOR.services_by_name["Events"]
WEBHOOK = webhook_pb2.DESCRIPTOR.services_by_name["Webhook"]
WEBHOOKS = webhooks_pb2.DESCRIPTOR.services_by_name["Webhooks"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: the message by proto field names, and the trailers by name, in order."""

    body: dict[str, Any]
    trailers: Mapping[str, Sequence[str]]


@dataclass(slots=True)
class Connection:
    """Address, credentials and timeout for calls to a server.

    Attributes:
        server: HOST:PORT.
        token: JWT; "" for a server without authentication.
        ca_file: trusted root certificates (PEM); None for plain text.
        cert_file, key_file: client certificate and its key (PEM) for mutual TLS.
        timeout: deadline of a unary call in seconds.
        scope: metadata with the scope of a SYSTEM_TOKEN: x_domain_id, x_workspace_id.
        name: host name expected in the server's certificate; "": the host of `server`.
    """

    server: str = DEFAULT_SERVER
    token: str = ""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    timeout: float = DEFAULT_TIMEOUT
    scope: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def call(
        self,
        service: ServiceDescriptor,
        method: str,
        request: Mapping[str, Any],
        metadata: Mapping[str, str] | None = None,
    ) -> Reply:
        """Make a unary call.

        Args:
            request: the request as JSON by proto field names.
            metadata: sent in addition to the token and the scope.

        Raises:
            Failure: the server is unreachable or refuses the call.
        """
        message, reply_class = _message(service, method, request)
        sent = {**self._identity(), **(metadata or {})}
        with self.open() as channel:
            rpc = channel.unary_unary(
                f"/{service.full_name}/{method}",
                request_serializer=type(message).SerializeToString,
                response_deserializer=reply_class.FromString,
            )
            try:
                reply, call = rpc.with_call(message, timeout=self.timeout, metadata=tuple(sent.items()))
            except grpc.RpcError as error:
                raise from_rpc_error(error, self.server) from error
        trailers: dict[str, list[str]] = {}
        for key, value in call.trailing_metadata() or ():
            trailers.setdefault(key, []).append(value if isinstance(value, str) else value.decode("utf-8", "replace"))
        return Reply(_whole_numbers(json_format.MessageToDict(reply, preserving_proto_field_name=True)), trailers)

    def stream(self, service: ServiceDescriptor, method: str, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the replies of a server-streaming call as JSON. There is no deadline.

        Raises:
            Failure: as `call`, at any time.
        """
        for reply in self.messages(service, method, request):
            yield _whole_numbers(json_format.MessageToDict(reply, preserving_proto_field_name=True))

    def messages(self, service: ServiceDescriptor, method: str, request: Mapping[str, Any]) -> Iterator[Message]:
        """Yield the replies of a server-streaming call as messages, which costs a tenth of JSON."""
        message, reply_class = _message(service, method, request)
        with self.open() as channel:
            rpc = channel.unary_stream(
                f"/{service.full_name}/{method}",
                request_serializer=type(message).SerializeToString,
                response_deserializer=reply_class.FromString,
            )
            try:
                yield from rpc(message, metadata=tuple(self._identity().items()))
            except grpc.RpcError as error:
                raise from_rpc_error(error, self.server) from error

    def _identity(self) -> dict[str, str]:
        return {**({"token": self.token} if self.token else {}), **self.scope}

    def open(self) -> grpc.Channel:
        """Return a channel to the server; the caller closes it.

        Raises:
            Failure: a certificate cannot be used, or its key or CA is missing.
        """
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        if (self.cert_file is None) != (self.key_file is None) or (self.cert_file and not self.ca_file):
            hint = "Give all three: --ca-file, --cert-file and --key-file."
            raise Failure("The files for mutual TLS are not complete.", hint, exit_code=USAGE)
        if self.ca_file is None:
            return grpc.insecure_channel(self.server, options=options)
        if self.name:
            options.append(("grpc.ssl_target_name_override", self.name))
        return grpc.secure_channel(self.server, self._credentials(self.ca_file), options=options)

    def _credentials(self, ca_file: Path) -> grpc.ChannelCredentials:
        """Read the files; raise Failure where gRPC would only report the server as unavailable."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        file, what = ca_file, "certificate (PEM)"
        try:
            context.load_verify_locations(ca_file)
            if self.cert_file is not None:
                file, what = self.cert_file, "certificate (PEM) for the key of --key-file"
                context.load_cert_chain(self.cert_file, self.key_file, password=str)
            return grpc.ssl_channel_credentials(
                root_certificates=ca_file.read_bytes(),
                private_key=self.key_file.read_bytes() if self.key_file else None,
                certificate_chain=self.cert_file.read_bytes() if self.cert_file else None,
            )
        except ssl.SSLError as error:
            raise Failure(f"{file} does not contain a {what}: {error.reason or error}.", exit_code=USAGE) from error
        except OSError as error:
            raise Failure(f"Cannot read {error.filename or file}: {error.strerror}.", exit_code=USAGE) from error


def _message(service: ServiceDescriptor, method: str, request: Mapping[str, Any]) -> tuple[Message, type[Message]]:
    """Return the request as the method's message, and the class of its reply."""
    description = service.methods_by_name[method]
    request_class = message_factory.GetMessageClass(description.input_type)
    try:
        message = json_format.ParseDict(dict(request), request_class())
    except json_format.ParseError as error:
        raise Failure(f"The request is not valid: {error}", exit_code=USAGE) from error
    return message, message_factory.GetMessageClass(description.output_type)


def _whole_numbers(value: Any) -> Any:
    """Replace 2.0 by 2: a Struct has doubles only, but counts are integers."""
    if isinstance(value, dict):
        return {name: _whole_numbers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(member) for member in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_EXACT:
        return int(value)
    return value
