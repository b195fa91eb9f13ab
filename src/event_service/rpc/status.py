"""Errors as gRPC sends them: code, `ERROR_X: message`, and google.rpc details in the standard trailer.

Upstream's clients split the text at the first colon; programs read the details: ErrorInfo always, BadRequest with
the field paths, RetryInfo where sending again is worthwhile, RequestInfo to find the log line.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from event_service.errors import EventServiceError, FieldViolation, Internal

DETAILS_KEY = "grpc-status-details-bin"  # as grpcio-status names it
DOMAIN = "event-service"

# Clients give up on headers of more than 8 KB in all: the text, percent-encoded, and the details, in base64.
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
    """What a call that failed is answered.

    Attributes:
        details: the text; its first word is the ERROR_X class.
        trailers: the google.rpc.Status.
    """

    code: grpc.StatusCode
    details: str
    trailers: tuple[tuple[str, bytes], ...]


def failure_of(error: EventServiceError, request_id: str = "") -> Failure:
    """The answer for an error, small enough to reach every client."""
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
    return Failure(code, text, ((DETAILS_KEY, status.SerializeToString()),))


def error_of(exception: Exception, method: str, request_id: str) -> EventServiceError:
    """The error to answer for whatever was raised. A fault of ours is told to the log and not to the caller."""
    if isinstance(exception, EventServiceError):
        return exception
    _log.error("%s failed (request_id = %s)", method, request_id, exc_info=exception)
    return Internal(f"The service failed to answer. (request_id = {request_id})")


def cut(text: str, size: int) -> str:
    """The text, shortened to `size` bytes as they are sent: percent-encoded, lone surrogates replaced."""
    text = text.encode(errors="replace").decode()
    if len(text) * _LARGEST_CHARACTER <= size:
        return text
    sent = quote(text[: size + 1], safe=" ")
    if len(sent) <= size:
        return text
    kept = _PART_OF_A_BYTE.sub("", sent[: size - len(_ELLIPSIS)])
    return unquote(kept, errors="ignore") + _ELLIPSIS  # ignored: what is left of a character cut in two


def _bad_request(violations: Sequence[FieldViolation], room: int) -> error_details_pb2.BadRequest:
    """As many violations as fit into `room` bytes, and how many are left out."""
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
