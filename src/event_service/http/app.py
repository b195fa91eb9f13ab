"""The HTTP application: all routes inside the middleware. `server.py` serves it, `event_service/app.py` wires it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from google.protobuf.descriptor import ServiceDescriptor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from event_service.concurrency.thread_pool import RunInThread
from event_service.events.manager import EventManager
from event_service.http.authentication import RequestAuthenticator
from event_service.http.body import BodyReader
from event_service.http.cloud_eye.api import CloudEye
from event_service.http.cloud_eye.validation import Rules
from event_service.http.collector import Collector
from event_service.http.middleware import Observer, with_middleware
from event_service.http.openapi import openapi_document
from event_service.http.transcoding import CallT, Transcoder
from event_service.identity.authenticator import Authenticator
from event_service.settings import Settings
from event_service.webhooks.manager import WebhookManager
from event_service.wire.timestamps import utc_now


def build_app(
    settings: Settings,
    *,
    events: EventManager,
    webhooks: WebhookManager,
    authenticator: Authenticator,
    services: Sequence[ServiceDescriptor],
    methods: Mapping[str, Callable[[bytes, CallT], Awaitable[bytes]]],
    open_methods: Collection[str],
    request_limits: Mapping[str, int],
    new_call: Callable[[str, Mapping[str, str], str], CallT],
    run_in_thread: RunInThread,
    is_ready: Callable[[], bool],
    clock_skew: Callable[[], timedelta],
    version: str,
    more_routes: Sequence[BaseRoute] = (),
    observe: Observer | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> ASGIApp:
    """Return the ASGI application of all routes.

    Args:
        services, methods, open_methods, request_limits, new_call, run_in_thread: see `transcoding.Transcoder`.
        is_ready: returns True while events can be stored.
        clock_skew: returns how far this machine's clock is ahead of the database's.
        version: of this service.
        more_routes: further routes, e.g. metrics and the console.
        observe: called for every response, for metrics.
        clock: the time of receipt: timezone-aware UTC, whole milliseconds.

    Raises:
        ValueError: a service has a method without a handler.
    """
    request_authenticator = RequestAuthenticator(settings, authenticator)
    bodies = BodyReader(seconds=settings.http_body_seconds, memory_bytes=settings.http_body_memory_bytes)
    collectors = Collector(events=events, bodies=bodies, limit=settings.max_message_bytes, clock=clock)
    transcoder = Transcoder(
        services=services,
        methods=methods,
        open_methods=open_methods,
        admit=events.admit,
        request_limits=request_limits,
        authenticator=request_authenticator,
        new_call=new_call,
        bodies=bodies,
        limit=settings.max_message_bytes,
        run_in_thread=run_in_thread,
    )
    cloud = CloudEye(
        events=events,
        webhooks=webhooks,
        authenticator=request_authenticator,
        bodies=bodies,
        rules=Rules(settings.cloud_eye_rules, settings.cloud_eye_time_margin_seconds),
        limit=settings.cloud_eye_max_body_bytes,
        clock=clock,
    )
    document = openapi_document(services, version)

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        ready = is_ready()
        status = {"status": "ready" if ready else "not ready", "clock_skew_seconds": clock_skew().total_seconds()}
        return JSONResponse(status, 200 if ready else 503)

    async def openapi(_request: Request) -> Response:
        return JSONResponse(document)

    routes: list[BaseRoute] = [
        *collectors.routes(),
        *transcoder.routes(),
        *cloud.routes(),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/openapi.json", openapi),
        *more_routes,
    ]
    # A redirect would turn a POST into a GET, and the Cloud Eye SDKs treat it as success.
    return with_middleware(Router(routes, redirect_slashes=False), observe)
