"""Errors as HTTP responses: in the vendor's form below `/V1.0/`, in upstream's everywhere else."""

import math
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from event_service.errors import (
    EventServiceError,
    Internal,
    InvalidArgument,
    MethodNotAllowed,
    NotFound,
    RequestTimeout,
    TooLarge,
)
from event_service.http.cloud_eye.errors import NO_API, CloudEyeError, cloud_eye_error

CLOUD_EYE_PREFIX = "/V1.0/"
REQUEST_ID = "request_id"
"""Name of the request id in the state of an ASGI scope."""


def error_response(error: Exception, scope: Scope) -> Response:
    """Return the response for an error of any kind. An unexpected one is an internal error without details."""
    request_id = scope["state"][REQUEST_ID]
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        headers.update(error.headers or {})
        if "Allow" in headers:
            headers["Allow"] = _allowed_methods(scope)
        error = _own_error(error, scope)
    if isinstance(error, TooLarge | RequestTimeout):
        # The rest of the body may still arrive: it must not be read as the next request.
        headers["Connection"] = "close"
    if scope["path"].startswith(CLOUD_EYE_PREFIX):
        if isinstance(error, NotFound) and "route" not in scope:
            error = CloudEyeError(NO_API)
        refusal = cloud_eye_error(error)
        status, body, retry_after = (
            refusal.code.http_status,
            refusal.body(request_id),
            refusal.retry_after,
        )
    else:
        failure = (
            error if isinstance(error, EventServiceError) else Internal(f"Internal error. (request = {request_id})")
        )
        status, body, retry_after = failure.http_status, error_body(failure), failure.retry_after
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
    return JSONResponse(body, status, headers)


def error_body(error: EventServiceError) -> dict[str, Any]:
    """Return `{"detail": {"code", "message"}}` as upstream's REST API does, with `violations` if fields are invalid."""
    detail: dict[str, Any] = {"code": error.reason, "message": error.message}
    if error.violations:
        detail["violations"] = [
            {"field": violation.field, "description": violation.description} for violation in error.violations
        ]
    return {"detail": detail}


def _own_error(error: HTTPException, scope: Scope) -> EventServiceError:
    # The path is not repeated: it may hold an access key.
    if error.status_code == 404:
        return NotFound("path", "as requested")
    if error.status_code == 405:
        return MethodNotAllowed(f"The method {scope['method'][:20]} is not allowed here.")
    return InvalidArgument(str(error.detail))


def _allowed_methods(scope: Scope) -> str:
    """Return the methods of all routes of the path; Starlette's own header has those of the first route only."""
    routes = [route for route in scope["router"].routes if isinstance(route, Route)]
    matching = [route.methods or () for route in routes if route.matches(scope)[0] is not Match.NONE]
    return ", ".join(sorted(set[str]().union(*matching)))
