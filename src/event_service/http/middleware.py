"""What every request passes: it gets a request id, one place turns its errors into answers, and it is logged.

The path of a request may hold an access key, so neither it nor the query is ever logged: the route's template is.
"""

import asyncio
import logging
import math
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from event_service.errors import (
    EventServiceError,
    Internal,
    InvalidArgument,
    MethodNotAllowed,
    NotFound,
    RequestTimeout,
    TooLarge,
    Unavailable,
)
from event_service.http.cloud_eye.errors import NO_API, CloudEyeError, cloud_eye_error
from event_service.telemetry.request import request_id as current_request
from event_service.telemetry.tracing import TRACE_ID

CLOUD_EYE_PREFIX = "/V1.0/"
REQUEST_ID = "request_id"

_log = logging.getLogger(__name__)
_CALLERS_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")

# (method, template of the route, HTTP status, seconds)
Observer = Callable[[str, str, int, float], None]


class Gate:
    """ASGI middleware around all routes.

    Args:
        observe: told of every answer, for metrics.
    """

    def __init__(self, app: ASGIApp, observe: Observer | None = None) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        refusal: dict[str, str] = {}
        request_id = _request_id(scope)
        current_request.set(request_id)
        scope.setdefault("state", {})[REQUEST_ID] = request_id
        # Says to the router that nobody but us answers for a wrong path or method: it raises.
        scope["app"] = self
        status = 0

        async def send_with_request_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            _check_path(scope)
            await self._app(scope, receive, send_with_request_id)
        except ClientDisconnect:
            _log.debug("the client went away", extra={"request_id": request_id})
        except Exception as error:
            if not _expected(error):
                _log.exception("the request failed", extra={"request_id": request_id, "route": _route(scope)})
            if status:
                raise
            refusal = _why(error)
            await error_response(error, scope)(scope, receive, send_with_request_id)
        except asyncio.CancelledError:
            # The server's grace period has ended. Nothing was promised, and the sender shall hear so.
            if status:
                raise
            stopping = Unavailable("The service is stopping; send again.")
            await error_response(stopping, scope)(scope, receive, send_with_request_id)
        seconds = time.monotonic() - started
        route = _route(scope)
        # Whoever has to find out why a tool's events are missing reads this line, and needs no other.
        _log.log(
            logging.INFO if status >= 400 else logging.DEBUG,
            "%s %s %d",
            scope["method"],
            route,
            status,
            extra={
                "request_id": request_id,
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 2),
                **_who(scope),
                **refusal,
            },
        )
        if self._observe is not None:
            self._observe(scope["method"], route, status, seconds)


def error_response(error: Exception, scope: Scope) -> Response:
    """The answer for an error, in the words of the door the request came through."""
    request_id = scope["state"][REQUEST_ID]
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        headers.update(error.headers or {})
        if "Allow" in headers:
            headers["Allow"] = _allowed_methods(scope)
        error = _own_error(error, scope)
    if isinstance(error, TooLarge | RequestTimeout):
        # The rest of the body may still be on its way: it must not be read as the next request.
        headers["Connection"] = "close"
    if scope["path"].startswith(CLOUD_EYE_PREFIX):
        if isinstance(error, NotFound) and "route" not in scope:
            error = CloudEyeError(NO_API)
        answer = cloud_eye_error(error)
        status, body, retry_after = answer.code.http_status, answer.body(request_id), answer.retry_after
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
    """`{"detail": {"code", "message"}}` as upstream's REST door has it, with the faulty fields where there are any."""
    detail: dict[str, Any] = {"code": error.reason, "message": error.message}
    if error.violations:
        detail["violations"] = [
            {"field": violation.field, "description": violation.description} for violation in error.violations
        ]
    return {"detail": detail}


def _who(scope: Scope) -> dict[str, str]:
    """Where a request came from and the webhook it was for, as far as known. A webhook's id is no secret."""
    known = {"webhook_id": scope.get("path_params", {}).get("webhook_id"), "peer": (scope.get("client") or ("",))[0]}
    return {name: value for name, value in known.items() if value}


def _why(error: Exception) -> dict[str, str]:
    """An error's code and text, for the log."""
    if isinstance(error, CloudEyeError):
        return {"error_code": error.code.code, "error": error.message}
    if isinstance(error, EventServiceError):
        return {"error_code": error.reason, "error": error.message}
    return {"error_code": type(error).__name__}


def _expected(error: Exception) -> bool:
    return isinstance(error, EventServiceError | HTTPException | CloudEyeError) and not isinstance(error, Internal)


def _own_error(error: HTTPException, scope: Scope) -> EventServiceError:
    """What the router could not place, as an error of ours. The path is not repeated: it may hold a key."""
    if error.status_code == 404:
        return NotFound("path", "as requested")
    if error.status_code == 405:
        return MethodNotAllowed(f"The method {scope['method'][:20]} is not allowed here.")
    return InvalidArgument(str(error.detail))


def _check_path(scope: Scope) -> None:
    """Refuses what the router would take for the path before it: the `$` of its expressions overlooks a line feed.

    Raises:
        NotFound: there is a line feed in the path.
    """
    if "\n" in scope["path"]:
        raise NotFound("path", "as requested")


def _allowed_methods(scope: Scope) -> str:
    """The methods of all routes of a path; the router names those of the first."""
    routes = [route for route in scope["router"].routes if isinstance(route, Route)]
    matching = [route.methods or () for route in routes if route.matches(scope)[0] is not Match.NONE]
    return ", ".join(sorted(set[str]().union(*matching)))


def _request_id(scope: Scope) -> str:
    """The caller's own X-Request-Id where it has a harmless form, else 32 hexadecimal digits, its trace's or random."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _CALLERS_REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return scope.get("state", {}).get(TRACE_ID) or secrets.token_hex(16)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return getattr(route, "path", "(none)")
