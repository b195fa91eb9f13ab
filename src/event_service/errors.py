"""Everything the service refuses or fails with.

    EventServiceError
    ├── InvalidArgument            the caller's fault; a field path says where
    │   ├── RequiredParameter
    │   ├── QueryError             a filter, sort, page or stage that cannot be answered
    │   │   ├── OperatorValueType           a list where an operator takes one value
    │   │   ├── OperatorListValueType       something else where an operator takes a list
    │   │   ├── OperatorObjectValueType     something else where an operator takes an object
    │   │   └── OperatorBooleanType         something else where an operator takes true or false
    │   ├── WebhookDisabled
    │   └── PluginVerifyFailed     the webhook's remote parser did not answer as agreed
    ├── Unauthenticated            no token, or one that does not hold
    ├── PermissionDenied
    ├── NotFound                   missing or somebody else's: the same text on purpose
    ├── AlreadyExists              an idempotency key with another payload, a taken name
    ├── TooLarge                   over a size limit; sending again does not help
    ├── Overloaded                 the queue is full; send again after `retry_after` seconds
    ├── Unavailable                the database is away; send again after `retry_after` seconds
    ├── DeadlineExceeded           the caller's own deadline has passed
    ├── RequestTimeout             HTTP only: the body did not arrive in time
    ├── MethodNotAllowed           HTTP only: the address is right, the method is not
    ├── UnsupportedMediaType       HTTP only: the body is not said to be JSON
    └── Internal                   a fault of ours

Each class knows its gRPC status code (by name, so that nothing here imports grpc), its HTTP status
and the ERROR_X word that upstream's clients read before the first colon.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One fault in a request: where it is (`query.filter[0].v`, `data.severity`) and what to do about it."""

    field: str
    description: str


class EventServiceError(Exception):
    """Base of all errors that reach a caller.

    Args:
        message: the sentence a caller reads, without the ERROR_X word.
        violations: the faulty fields, if the request is to blame.
        retry_after: seconds after which sending again is worthwhile; None where it is not.
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
        """The error for one faulty field."""
        return cls(f"{field}: {problem}", violations=[FieldViolation(field, problem)])

    @property
    def details(self) -> str:
        """`ERROR_X: message`, the shape upstream's clients split at the first colon."""
        return f"{self.reason}: {self.message}"

    def again(self) -> Self:
        """An equal error of its own, for one more caller.

        One instance that is raised to many collects the traceback of each of them, and keeps alive what is in it.
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
    """One text for every cause, so that a token cannot be probed."""

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


class Unavailable(EventServiceError):
    code, http_status, reason = "UNAVAILABLE", 503, "ERROR_UNAVAILABLE"

    def __init__(self, message: str = "The database is not available; send again.", retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)


class DeadlineExceeded(EventServiceError):
    code, http_status, reason = "DEADLINE_EXCEEDED", 504, "ERROR_DEADLINE_EXCEEDED"


class RequestTimeout(EventServiceError):
    code, http_status, reason = "DEADLINE_EXCEEDED", 408, "ERROR_REQUEST_TIMEOUT"


class MethodNotAllowed(EventServiceError):
    code, http_status, reason = "UNIMPLEMENTED", 405, "ERROR_METHOD_NOT_ALLOWED"


class UnsupportedMediaType(EventServiceError):
    code, http_status, reason = "INVALID_ARGUMENT", 415, "ERROR_UNSUPPORTED_MEDIA_TYPE"


class Internal(EventServiceError):
    """A fault of ours. The text names nothing but the request, whose log line has the traceback."""
