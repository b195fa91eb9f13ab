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

from event_service._gen.event_service.v1 import events_pb2, webhooks_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, webhook_pb2
from event_service.cli.failures import USAGE, Failure, from_rpc_error

DEFAULT_SERVER = "127.0.0.1:50051"
DEFAULT_TIMEOUT = 30.0
# Up to here a double holds every whole number.
LARGEST_EXACT = 2**53

EVENT = event_pb2.DESCRIPTOR.services_by_name["Event"]
EVENTS = events_pb2.DESCRIPTOR.services_by_name["Events"]
WEBHOOK = webhook_pb2.DESCRIPTOR.services_by_name["Webhook"]
WEBHOOKS = webhooks_pb2.DESCRIPTOR.services_by_name["Webhooks"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: the message by its proto field names, and the trailers by name, in order."""

    body: dict[str, Any]
    trailers: Mapping[str, Sequence[str]]


@dataclass(slots=True)
class Connection:
    """How to reach a server, and as whom.

    Attributes:
        server: HOST:PORT.
        token: JWT; "" where the server wants none.
        ca_file: trusted root certificates (PEM); given = TLS. `cert_file` and `key_file`: our own, for mutual TLS.
        timeout: seconds a call may take.
        scope: metadata that says what a SYSTEM_TOKEN acts for: x_domain_id, x_workspace_id.
        name: what the server's certificate must hold for; "" = the host of `server`.
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
        """One unary call.

        Args:
            request: the request message as its JSON, by proto field names.
            metadata: beside the token and the scope.

        Raises:
            Failure: the server cannot be reached or has refused.
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
        """The replies of a server-streaming call, each as its JSON. The timeout does not count: it may go on for ever.

        Raises:
            Failure: as `call`, at any time.
        """
        for reply in self.messages(service, method, request):
            yield _whole_numbers(json_format.MessageToDict(reply, preserving_proto_field_name=True))

    def messages(self, service: ServiceDescriptor, method: str, request: Mapping[str, Any]) -> Iterator[Message]:
        """The same as messages, which costs a tenth where there are many."""
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
        """Metadata that says who asks, and for whom."""
        return {**({"token": self.token} if self.token else {}), **self.scope}

    def open(self) -> grpc.Channel:
        """A channel to the server; close it.

        Raises:
            Failure: a certificate cannot be used, or is given without the others it needs.
        """
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ]
        if (self.cert_file is None) != (self.key_file is None) or (self.cert_file and not self.ca_file):
            hint = "A certificate of our own takes all three: --ca-file, --cert-file and --key-file."
            raise Failure("The files for TLS are not complete.", hint, exit_code=USAGE)
        if self.ca_file is None:
            return grpc.insecure_channel(self.server, options=options)
        if self.name:
            options.append(("grpc.ssl_target_name_override", self.name))
        return grpc.secure_channel(self.server, self._credentials(self.ca_file), options=options)

    def _credentials(self, ca_file: Path) -> grpc.ChannelCredentials:
        """What the files hold. Raises Failure where gRPC would only say that the server is unavailable."""
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
            raise Failure(f"{file} holds no {what}: {error.reason or error}.", exit_code=USAGE) from error
        except OSError as error:
            raise Failure(f"{error.filename or file} cannot be read: {error.strerror}.", exit_code=USAGE) from error


def _message(service: ServiceDescriptor, method: str, request: Mapping[str, Any]) -> tuple[Message, type[Message]]:
    """The request as the method's message, and the class of its reply."""
    description = service.methods_by_name[method]
    request_class = message_factory.GetMessageClass(description.input_type)
    try:
        message = json_format.ParseDict(dict(request), request_class())
    except json_format.ParseError as error:
        raise Failure(f"The request cannot be sent: {error}", exit_code=USAGE) from error
    return message, message_factory.GetMessageClass(description.output_type)


def _whole_numbers(value: Any) -> Any:
    """The JSON with 2 for 2.0: a Struct knows only doubles, and people count events in whole ones."""
    if isinstance(value, dict):
        return {name: _whole_numbers(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(member) for member in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_EXACT:
        return int(value)
    return value
