"""Errors of the Cloud Eye API.

The vendor's own SDKs cannot read the documented body of version 1 (`{"http_code", "message": {"code", "details"}}`):
they read `error_code` and `error_msg`. One object carries both. The SDKs read `request_id` from the header X-Request-Id
only; the body repeats it for people.

Source of the codes: "Error Codes" of the Cloud Eye API reference, "Error Codes" of API Gateway (APIGW.*).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from event_service.errors import (
    DeadlineExceeded,
    EventServiceError,
    InvalidArgument,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PermissionDenied,
    QueryTimeout,
    RequestTimeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

FAULTS_IN_TEXT = 5
FAULTS_IN_DETAILS = 100


@dataclass(frozen=True, slots=True)
class CloudEyeCode:
    """One row of the vendor's table of errors."""

    http_status: int
    code: str
    text: str


NO_CONTENT = CloudEyeCode(400, "ces.0001", "The content must be specified.")
BAD_PROJECT = CloudEyeCode(400, "ces.0003", "The tenant ID is left blank or incorrect.")
BAD_PARAMETER = CloudEyeCode(400, "ces.0013", "The URL parameter is invalid or does not exist.")
BAD_BODY = CloudEyeCode(400, "ces.0014", "Some content in message body is not correct.")
NOT_AUTHENTICATED = CloudEyeCode(
    401, "ces.0015", "Authentication fails or the authentication information is not provided."
)
BAD_SIGNATURE = CloudEyeCode(401, "APIGW.0301", "Incorrect IAM authentication information")
NOT_ALLOWED = CloudEyeCode(
    403,
    "ces.0017",
    "The authentication information is incorrect or the service invoker does not have sufficient rights.",
)
NO_RESOURCE = CloudEyeCode(404, "ces.0016", "The resource does not exist.")
NO_API = CloudEyeCode(404, "APIGW.0101", "The API does not exist or has not been published.")
BAD_METHOD = CloudEyeCode(405, "APIGW.0101", "The API does not exist.")
TIMED_OUT = CloudEyeCode(408, "ces.0011", "The request timed out.")
BODY_TOO_LARGE = CloudEyeCode(413, "APIGW.0201", "Request entity too large.")
THROTTLED = CloudEyeCode(429, "APIGW.0308", "The throttling threshold has been reached.")
INTERNAL = CloudEyeCode(500, "ces.0007", "Internal service error.")
UNAVAILABLE = CloudEyeCode(503, "APIGW.0613", "The service is currently unavailable.")


class CloudEyeError(Exception):
    """An error with the vendor's code and text.

    Args:
        code: the row of the vendor's table.
        problem: the exact cause; "" if the row's text suffices.
        faults: every fault of a body, each beginning with its path, such as `[0].time must be ...`.
        retry_after: seconds after which to send again; None if that does not help.
    """

    def __init__(
        self, code: CloudEyeCode, problem: str = "", *, faults: Sequence[str] = (), retry_after: float | None = None
    ) -> None:
        if faults:
            message = "; ".join(faults[:FAULTS_IN_TEXT])
            if len(faults) > FAULTS_IN_TEXT:
                message = f"{message}; and {len(faults) - FAULTS_IN_TEXT} more"
        else:
            message = f"{code.text.rstrip('.')}: {problem}" if problem else code.text
        super().__init__(message)
        self.code = code
        self.message = message
        self.faults = tuple(faults)
        self.retry_after = retry_after

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the JSON object of the response. All codes and texts are strings: the Go SDK requires it."""
        faults = self.faults[:FAULTS_IN_DETAILS] or (self.message,)
        return {
            "http_code": self.code.http_status,
            "message": {"code": self.code.code, "details": self.message},
            "error_code": self.code.code,
            "error_msg": self.message,
            "request_id": request_id,
            "details": [{"error_code": self.code.code, "error_msg": fault} for fault in faults],
        }


_ROWS: Mapping[type[EventServiceError], CloudEyeCode] = {
    InvalidArgument: BAD_BODY,
    Unauthenticated: NOT_AUTHENTICATED,
    PermissionDenied: NOT_ALLOWED,
    NotFound: NO_RESOURCE,
    MethodNotAllowed: BAD_METHOD,
    RequestTimeout: TIMED_OUT,
    TooLarge: BODY_TOO_LARGE,
    Overloaded: THROTTLED,
    QueryTimeout: TIMED_OUT,
    Unavailable: UNAVAILABLE,
    DeadlineExceeded: UNAVAILABLE,
}


def cloud_eye_error(error: Exception) -> CloudEyeError:
    """Convert any error. One without a row in the vendor's table becomes an internal error without details."""
    if isinstance(error, CloudEyeError):
        return error
    if isinstance(error, EventServiceError):
        for kind, code in _ROWS.items():
            if isinstance(error, kind):
                return CloudEyeError(code, error.message, retry_after=error.retry_after)
    return CloudEyeError(INTERNAL)
