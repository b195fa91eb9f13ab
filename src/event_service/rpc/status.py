"""Conversion of errors to gRPC: code, `ERROR_X: message`, and google.rpc details in the standard trailer.

Upstream's clients split the text at the first colon; programs read the details: ErrorInfo always, BadRequest with
the field paths, RetryInfo for errors worth retrying, RequestInfo with the request id of the log. Retry policies obey
`grpc-retry-pushback-ms`: a delay, or negative for errors that a retry cannot change.

Source: gRFC A6, "Pushback".
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from event_service.errors import DeadlineExceeded, EventServiceError, FieldViolation, Internal

DETAILS_KEY = "grpc-status-details-bin"  # the name that grpcio-status uses
PUSHBACK_KEY = "grpc-retry-pushback-ms"  # for the retry policies of gRPC libraries, which do not read RetryInfo
DOMAIN = "event-service"

# Clients refuse headers over 8 KB in total: the percent-encoded text plus the details in base64.
MAX_TEXT_BYTES = 1024
MAX_DETAILS_BYTES = 4 * 1024

_LONGEST_FIELD = 200
_LONGEST_DESCRIPTION = 300
_LARGEST_CHARACTER = 12  # four bytes of UTF-8, percent-encoded
_ELLIPSIS = "..."
_PART_OF_A_BYTE = re.compile("%.?$")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """The arguments of `ServicerContext.abort`.

    Attributes:
        details: `ERROR_X: message`.
        trailers: `grpc-status-details-bin` with the google.rpc.Status, and `grpc-retry-pushback-ms`.
    """

    code: grpc.StatusCode
    details: str
    trailers: tuple[tuple[str, str | bytes], ...]


def failure_of(error: EventServiceError, request_id: str = "") -> Failure:
    """Return the failure for an error, truncated to the header limits of clients."""
    code = grpc.StatusCode[error.code]
    text = cut(error.details, MAX_TEXT_BYTES)
    status = status_pb2.Status(code=code.value[0], message=text)
    _pack(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after * 1000))
        _pack(status, retry)
    if request_id:
        _pack(status, error_details_pb2.RequestInfo(request_id=request_id))
    if error.violations:
        _pack(status, _bad_request(error.violations, MAX_DETAILS_BYTES - status.ByteSize() - 100))
    trailers: list[tuple[str, str | bytes]] = [(DETAILS_KEY, status.SerializeToString())]
    if error.retry_after is not None:
        trailers.append((PUSHBACK_KEY, str(round(error.retry_after * 1000))))
    elif not isinstance(error, Internal | DeadlineExceeded):
        trailers.append((PUSHBACK_KEY, "-1"))  # the same request would fail again
    return Failure(code, text, tuple(trailers))


def error_of(exception: Exception, method: str, request_id: str) -> EventServiceError:
    """Return the error to answer. An unexpected exception is logged, and becomes Internal without its text."""
    if isinstance(exception, EventServiceError):
        return exception
    _log.error("%s failed (request_id = %s)", method, request_id, exc_info=exception)
    return Internal(f"The service failed to answer. (request_id = {request_id})")


def cut(text: str, size: int) -> str:
    """Return the text cut to `size` bytes as sent: percent-encoded, lone surrogates replaced."""
    text = text.encode(errors="replace").decode()
    if len(text) * _LARGEST_CHARACTER <= size:
        return text
    sent = quote(text[: size + 1], safe=" ")
    if len(sent) <= size:
        return text
    kept = _PART_OF_A_BYTE.sub("", sent[: size - len(_ELLIPSIS)])
    return unquote(kept, errors="ignore") + _ELLIPSIS  # drops the rest of a character cut in two


def _bad_request(violations: Sequence[FieldViolation], room: int) -> error_details_pb2.BadRequest:
    """Return as many violations as fit into `room` bytes, and the number of those left out."""
    details = error_details_pb2.BadRequest()
    for position, violation in enumerate(violations):
        added = details.field_violations.add(
            field=cut(violation.field, _LONGEST_FIELD), description=cut(violation.description, _LONGEST_DESCRIPTION)
        )
        room -= added.ByteSize() + 3
        if room < 0:
            del details.field_violations[position]
            details.field_violations.add(description=f"and {len(violations) - position} more")
            break
    return details


def _pack(status: status_pb2.Status, detail: Message) -> None:
    status.details.add().Pack(detail)
