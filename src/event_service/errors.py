"""The error tree: every refusal and failure that reaches a caller.

    EventServiceError
    ├── InvalidArgument            a faulty request, with the path of the field
    │   ├── RequiredParameter
    │   ├── QueryError             a filter, sort, page or stage that is not valid
    │   │   ├── OperatorValueType           a list for an operator that takes one value
    │   │   ├── OperatorListValueType       another value for an operator that takes a list
    │   │   ├── OperatorObjectValueType     another value for an operator that takes an object
    │   │   └── OperatorBooleanType         another value for an operator that takes true or false
    │   ├── WebhookDisabled
    │   └── PluginVerifyFailed     the webhook's remote plugin does not follow its protocol
    ├── Unauthenticated            the token is missing, invalid or expired
    ├── PermissionDenied
    ├── NotFound                   missing, or in another scope: the same text for both
    ├── AlreadyExists              an idempotency key with another payload, or a name in use
    ├── TooLarge                   over a size limit; sending again does not help
    ├── Overloaded                 the queue is full; send again after `retry_after` seconds
    ├── QueryTimeout               the query's time limit has passed; sending again does not help
    ├── Unavailable                the database is unavailable; send again after `retry_after` seconds
    ├── DeadlineExceeded           the caller's own deadline has passed
    ├── RequestTimeout             HTTP only: the body did not arrive in time
    ├── Unimplemented              a method of SpaceONE's API that this service does not have
    ├── MethodNotAllowed           HTTP only: the address is right, the method is not
    ├── UnsupportedMediaType       HTTP only: the Content-Type is not JSON
    └── Internal                   a bug in the service

Each class has its gRPC status code (by name, so that this module does not import grpc), its HTTP status
and the ERROR_X name that upstream's clients read before the first colon.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A fault in a request: the path of the field (`query.filter[0].v`, `data.severity`) and what to correct."""

    field: str
    description: str


class EventServiceError(Exception):
    """Base of all errors that reach a caller.

    Args:
        message: one sentence for the caller, without the ERROR_X name.
        violations: the faulty fields, if the request is to blame.
        retry_after: seconds after which to send again; None if retrying does not help.
    """

    code = "INTERNAL"
    http_status = 500
    reason = "ERROR_INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[FieldViolation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.retry_after = retry_after

    @classmethod
    def at(cls, field: str, problem: str) -> Self:
        """Return the error for one faulty field."""
        return cls(f"{field}: {problem}", violations=[FieldViolation(field, problem)])

    @property
    def details(self) -> str:
        """Return `ERROR_X: message`, which upstream's clients split at the first colon."""
        return f"{self.reason}: {self.message}"

    def again(self) -> Self:
        """Return a copy to raise to one more caller.

        One instance raised to many callers would collect all their tracebacks and keep their frames alive.
        """
        other = type(self).__new__(type(self), *self.args)
        other.__dict__.update(self.__dict__)
        other.__cause__ = self.__cause__
        return other


class InvalidArgument(EventServiceError):
    code, http_status, reason = "INVALID_ARGUMENT", 400, "ERROR_INVALID_PARAMETER"


class RequiredParameter(InvalidArgument):
    reason = "ERROR_REQUIRED_PARAMETER"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Required parameter. (key = {key})",
            violations=[FieldViolation(key, "must be given and must not be empty")],
        )


class QueryError(InvalidArgument):
    reason = "ERROR_DB_QUERY"


class OperatorValueType(QueryError):
    reason = "ERROR_OPERATOR_VALUE_TYPE"


class OperatorListValueType(QueryError):
    reason = "ERROR_OPERATOR_LIST_VALUE_TYPE"


class OperatorObjectValueType(QueryError):
    reason = "ERROR_OPERATOR_DICT_VALUE_TYPE"


class OperatorBooleanType(QueryError):
    reason = "ERROR_OPERATOR_BOOLEAN_TYPE"


class WebhookDisabled(InvalidArgument):
    reason = "ERROR_WEBHOOK_STATE_DISABLED"

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"Webhook state is disabled. (webhook_id = {webhook_id})")


class PluginVerifyFailed(InvalidArgument):
    reason = "ERROR_PLUGIN_VERIFY_FAILED"


class Unauthenticated(EventServiceError):
    """Authentication failed; one text for every cause, so that a token cannot be probed."""

    code, http_status, reason = "UNAUTHENTICATED", 401, "ERROR_AUTHENTICATE_FAILURE"

    def __init__(self, message: str = "The token is missing, invalid or expired.") -> None:
        super().__init__(message)


class PermissionDenied(EventServiceError):
    code, http_status, reason = "PERMISSION_DENIED", 403, "ERROR_PERMISSION_DENIED"

    def __init__(self, message: str = "Permission denied.") -> None:
        super().__init__(message)


class NotFound(EventServiceError):
    code, http_status, reason = "NOT_FOUND", 404, "ERROR_NOT_FOUND"

    def __init__(self, key: str, value: str) -> None:
        super().__init__(f"Resource cannot be found or access is denied. ({key} = {value})")


class AlreadyExists(EventServiceError):
    code, http_status, reason = "ALREADY_EXISTS", 409, "ERROR_ALREADY_EXISTS"


class TooLarge(EventServiceError):
    code, http_status, reason = "RESOURCE_EXHAUSTED", 413, "ERROR_TOO_LARGE"


class Overloaded(EventServiceError):
    code, http_status, reason = "RESOURCE_EXHAUSTED", 429, "ERROR_RESOURCE_EXHAUSTED"


class QueryTimeout(EventServiceError):
    """Not DEADLINE_EXCEEDED, which clients of upstream repeat at once and show without its text."""

    code, http_status, reason = "RESOURCE_EXHAUSTED", 422, "ERROR_QUERY_TIMEOUT"


class Unavailable(EventServiceError):
    code, http_status, reason = "UNAVAILABLE", 503, "ERROR_UNAVAILABLE"

    def __init__(self, message: str = "The database is not available; send again.", retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)


class DeadlineExceeded(EventServiceError):
    code, http_status, reason = "DEADLINE_EXCEEDED", 504, "ERROR_DEADLINE_EXCEEDED"


class RequestTimeout(EventServiceError):
    code, http_status, reason = "DEADLINE_EXCEEDED", 408, "ERROR_REQUEST_TIMEOUT"


class Unimplemented(EventServiceError):
    code, http_status, reason = "UNIMPLEMENTED", 501, "ERROR_UNIMPLEMENTED"


class MethodNotAllowed(EventServiceError):
    code, http_status, reason = "UNIMPLEMENTED", 405, "ERROR_METHOD_NOT_ALLOWED"


class UnsupportedMediaType(EventServiceError):
    code, http_status, reason = "INVALID_ARGUMENT", 415, "ERROR_UNSUPPORTED_MEDIA_TYPE"


class Internal(EventServiceError):
    """A bug in the service. The text names only the request, whose log line has the traceback."""
