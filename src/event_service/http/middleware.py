"""ASGI middleware around all routes: request id > access log > errors > router.

The path of a request may hold an access key, so neither it nor the query is ever logged; the route's template is.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from event_service.errors import EventServiceError, Internal, NotFound, Unavailable
from event_service.http.cloud_eye.errors import CloudEyeError
from event_service.http.error_response import REQUEST_ID, error_response
from event_service.telemetry.request import request_id as current_request
from event_service.telemetry.tracing import TRACE_ID

_log = logging.getLogger(__name__)
_CALLERS_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_REFUSAL = "refusal"

Observer = Callable[[str, str, int, float], None]
"""Called for every response with the method, the route's template, the HTTP status and the seconds it took."""


def with_middleware(app: ASGIApp, observe: Observer | None = None) -> ASGIApp:
    """Wrap an application in all middleware, the first of the list outermost."""
    # The access log needs the request id, and must see the responses of ErrorMiddleware.
    for middleware, arguments, options in reversed(
        [
            Middleware(RequestIdMiddleware),
            Middleware(AccessLogMiddleware, observe),
            Middleware(ErrorMiddleware),
        ]
    ):
        app = middleware(app, *arguments, **options)
    return app


class RequestIdMiddleware:
    """Puts a request id into the scope's state, the log context and the header X-Request-Id of the response.

    It is the caller's own X-Request-Id if that has a safe form, else the trace id, else 32 random hexadecimal digits.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        current_request.set(request_id)
        scope.setdefault("state", {})[REQUEST_ID] = request_id

        async def send_with_request_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        await self._app(scope, receive, send_with_request_id)


class AccessLogMiddleware:
    """Logs and observes every complete response: at INFO if it is an error, else at DEBUG."""

    def __init__(self, app: ASGIApp, observe: Observer | None = None) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        status = 0

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, send_and_note_status)
        seconds = time.monotonic() - started
        route = _route(scope)
        # One line must explain why a tool's events are missing.
        _log.log(
            logging.INFO if status >= 400 else logging.DEBUG,
            "%s %s %d",
            scope["method"],
            route,
            status,
            extra={
                "request_id": scope["state"][REQUEST_ID],
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1000, 2),
                **_caller(scope),
                **scope["state"].get(_REFUSAL, {}),
            },
        )
        if self._observe is not None:
            self._observe(scope["method"], route, status, seconds)


class ErrorMiddleware:
    """Answers every exception with `error_response`, and logs the unexpected ones with their traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # With this set, Starlette's router raises for an unknown path or method instead of answering.
        scope["app"] = self
        has_started = False

        async def send_and_note_start(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        request_id = scope["state"][REQUEST_ID]
        try:
            _check_path(scope)
            await self._app(scope, receive, send_and_note_start)
        except ClientDisconnect:
            _log.debug("the client disconnected", extra={"request_id": request_id})
        except Exception as error:
            if not _is_expected(error):
                _log.exception("the request failed", extra={"request_id": request_id, "route": _route(scope)})
            if has_started:
                raise
            scope["state"][_REFUSAL] = _refusal(error)
            await error_response(error, scope)(scope, receive, send)
        except asyncio.CancelledError:
            # The server's grace period has ended. The events are not stored, so the sender must send them again.
            if has_started:
                raise
            stopping = Unavailable("The service is stopping; send again.")
            await error_response(stopping, scope)(scope, receive, send)


def _check_path(scope: Scope) -> None:
    # The router's expressions end in `$`, which matches before a line feed at the end too.
    if "\n" in scope["path"]:
        raise NotFound("path", "as requested")


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _CALLERS_REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return scope.get("state", {}).get(TRACE_ID) or secrets.token_hex(16)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return getattr(route, "path", "(none)")


def _caller(scope: Scope) -> dict[str, str]:
    """Return the peer's address and the webhook's id, which is no secret, as far as known."""
    known = {"webhook_id": scope.get("path_params", {}).get("webhook_id"), "peer": (scope.get("client") or ("",))[0]}
    return {name: value for name, value in known.items() if value}


def _refusal(error: Exception) -> dict[str, str]:
    """Return an error's code and text as fields of the access log."""
    if isinstance(error, CloudEyeError):
        return {"error_code": error.code.code, "error": error.message}
    if isinstance(error, EventServiceError):
        return {"error_code": error.reason, "error": error.message}
    return {"error_code": type(error).__name__}


def _is_expected(error: Exception) -> bool:
    return isinstance(error, EventServiceError | HTTPException | CloudEyeError) and not isinstance(error, Internal)
