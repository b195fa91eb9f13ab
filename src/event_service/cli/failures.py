"""Failures of commands: a message, and a hint how to fix it."""

from collections.abc import Sequence
from typing import cast

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

FAILED = 1
USAGE = 2
UNREACHABLE = 3

RETRY_SECONDS = 1.0
"""Pause before a streaming command retries after a transient failure."""

_TRANSIENT = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}


class Failure(Exception):
    """End a command with a message on stderr.

    Args:
        message: one line.
        hint: how to fix it, or "".
        exit_code: 1 refused or failed, 2 usage error, 3 server unreachable.
    """

    def __init__(self, message: str, hint: str = "", *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    @property
    def is_transient(self) -> bool:
        """True if a retry may succeed: the server is unavailable or overloaded."""
        cause = self.__cause__
        return isinstance(cause, grpc.RpcError) and cause.code() in _TRANSIENT and not self.is_timeout

    @property
    def is_timeout(self) -> bool:
        """True if the call's deadline or the server's limit for a query has passed."""
        cause = self.__cause__
        deadline = isinstance(cause, grpc.RpcError) and cause.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return deadline or self.message.endswith("[ERROR_QUERY_TIMEOUT]")


HINTS = {
    grpc.StatusCode.UNAUTHENTICATED: "Give a token with --token or EVENT_SERVICE_TOKEN. With the private key, issue "
    "one with `event-service token issue`.",
    grpc.StatusCode.PERMISSION_DENIED: "The access key is wrong, or the token's role or projects do not cover this.",
    grpc.StatusCode.NOT_FOUND: "Check the id, and that the token covers its domain and workspace.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "Request less, or increase --timeout SECONDS.",
    grpc.StatusCode.UNIMPLEMENTED: "The server is older than this command, or another program listens there.",
    grpc.StatusCode.INTERNAL: "See the service's log.",
}

# Substrings of grpc 1.85's details after a failed handshake, each with message and hint.
HANDSHAKES = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        "The certificate of {} is not signed by a CA of --ca-file, or is not valid now.",
        "Give the certificate of its CA: --ca-file FILE or EVENT_SERVICE_CA_FILE.",
    ),
    (
        "Hostname Verification Check failed",
        "The certificate of {} is for another host name.",
        "Use the host name of the certificate in --server.",
    ),
    ("WRONG_VERSION_NUMBER", "{} does not speak TLS.", "Omit --ca-file, and unset EVENT_SERVICE_CA_FILE."),
    (
        "Socket closed",
        "{} closes the connection.",
        "It may require TLS: give --ca-file FILE (or EVENT_SERVICE_CA_FILE); for mutual TLS also --cert-file "
        "and --key-file.",
    ),
)


def from_rpc_error(error: grpc.RpcError, server: str) -> Failure:
    """Return the failure for an error of an rpc to `server`."""
    code, details = error.code(), error.details() or ""
    # Errors of the service have an ERROR_X name; others come from the transport.
    if code is grpc.StatusCode.UNAVAILABLE and not details.startswith("ERROR_"):
        return Failure(*_unavailable(details, server), exit_code=UNREACHABLE)
    word, _, sentence = details.partition(": ")
    message = f"{sentence} [{word}]" if word.startswith("ERROR_") else details or code.name
    return Failure(message, _advice(error, message) or HINTS.get(code, ""))


def _unavailable(details: str, server: str) -> tuple[str, str]:
    """Return message and hint for an unreachable server. gRPC gives the reason only in its details."""
    for sign, message, hint in HANDSHAKES:
        if sign in details:
            return message.format(server), hint
    return (
        f"No server at {server}.",
        "Start the service with `event-service serve`, or set --server HOST:PORT or EVENT_SERVICE_SERVER.",
    )


def _advice(error: grpc.RpcError, message: str) -> str:
    """Return the advice of the error's google.rpc details: fields to correct, retry delay."""
    lines: list[str] = []
    for detail in _details(error):
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest()
            detail.Unpack(bad_request)
            faults = [f"{fault.field}: {fault.description}" for fault in bad_request.field_violations]
            # The service truncates long texts with three dots.
            lines += [fault for fault in faults if fault.removesuffix("...") not in message]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            lines.append(f"Nothing is confirmed yet; send it again in {retry.retry_delay.ToMilliseconds() / 1000:g} s.")
    return "\n".join(lines)


def _details(error: grpc.RpcError) -> Sequence[any_pb2.Any]:
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))
    except ValueError:
        # A proxy's grpc-status-details-bin that contradicts its grpc-status.
        return ()
    return tuple(status.details) if status else ()
