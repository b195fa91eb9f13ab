"""How the command line says that something did not work: what happened, then what to do about it."""

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
"""How long commands that go on by themselves wait after a failure that is passing."""

_TRANSIENT = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}


class Failure(Exception):
    """Ends a command with a message on stderr.

    Args:
        message: one line, what happened.
        hint: what to do about it; "" where nothing sensible can be said.
        exit_code: 1 refused or failed, 2 wrong use, 3 no server.
    """

    def __init__(self, message: str, hint: str = "", *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    @property
    def is_transient(self) -> bool:
        """Whether the same call may well succeed in a moment: the server is away, or has too much to do."""
        return isinstance(self.__cause__, grpc.RpcError) and self.__cause__.code() in _TRANSIENT


HINTS = {
    grpc.StatusCode.UNAUTHENTICATED: "Give a token with --token or EVENT_SERVICE_TOKEN. `event-service token issue` "
    "makes one where you hold the service's key.",
    grpc.StatusCode.PERMISSION_DENIED: "The access key is wrong, or the token's role or projects do not cover this.",
    grpc.StatusCode.NOT_FOUND: "Check the id. What belongs to another domain or workspace counts as missing too.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "Ask for less, or give it longer with --timeout SECONDS.",
    grpc.StatusCode.UNIMPLEMENTED: "The server is older than this command, or something else listens there.",
    grpc.StatusCode.INTERNAL: "A fault of the service. Its log has the details.",
}

# What grpc 1.85's details say of a connection that came about and was of no use.
HANDSHAKES = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        "The certificate of {} does not come from an authority that --ca-file holds, or is not valid now.",
        "Give the certificate of the authority that issued it: --ca-file FILE or EVENT_SERVICE_CA_FILE.",
    ),
    (
        "Hostname Verification Check failed",
        "The certificate of {} is for another name.",
        "Give --server the name that is in the certificate.",
    ),
    ("WRONG_VERSION_NUMBER", "{} does not speak TLS.", "Leave out --ca-file, and unset EVENT_SERVICE_CA_FILE."),
    (
        "Socket closed",
        "{} closes the connection.",
        "A server with TLS does so: give --ca-file FILE (or EVENT_SERVICE_CA_FILE), and --cert-file and --key-file "
        "if it asks for a certificate.",
    ),
)


def from_rpc_error(error: grpc.RpcError, server: str) -> Failure:
    """The failure behind an error of an rpc to `server`."""
    code, details = error.code(), error.details() or ""
    # The service's own errors carry an ERROR_X word; without one the answer came from the transport.
    if code is grpc.StatusCode.UNAVAILABLE and not details.startswith("ERROR_"):
        return Failure(*_unavailable(details, server), exit_code=UNREACHABLE)
    word, _, sentence = details.partition(": ")
    message = f"{sentence} [{word}]" if word.startswith("ERROR_") else details or code.name
    return Failure(message, _advice(error, message) or HINTS.get(code, ""))


def _unavailable(details: str, server: str) -> tuple[str, str]:
    """What happened, and what to do, where no answer came. gRPC tells the reason in its details only."""
    for sign, message, hint in HANDSHAKES:
        if sign in details:
            return message.format(server), hint
    return (
        f"Nothing answers at {server}.",
        "Start the service with `event-service serve`, or name another with --server HOST:PORT "
        "or EVENT_SERVICE_SERVER.",
    )


def _advice(error: grpc.RpcError, message: str) -> str:
    """What the error's google.rpc details say to do: which fields to mend, how long to wait."""
    lines: list[str] = []
    for detail in _details(error):
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad_request = error_details_pb2.BadRequest()
            detail.Unpack(bad_request)
            faults = [f"{fault.field}: {fault.description}" for fault in bad_request.field_violations]
            # The service cuts what is long, and ends it with three dots.
            lines += [fault for fault in faults if fault.removesuffix("...") not in message]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            lines.append(f"Send it again in {retry.retry_delay.ToMilliseconds() / 1000:g} s; nothing was promised yet.")
    return "\n".join(lines)


def _details(error: grpc.RpcError) -> Sequence[any_pb2.Any]:
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))
    except ValueError:
        # Another program's trailer, which does not agree with the status it stands beside.
        return ()
    return tuple(status.details) if status else ()
