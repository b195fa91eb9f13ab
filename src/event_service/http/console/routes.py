"""The console's routes, wired."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from event_service.errors import EventServiceError, NotFound
from event_service.events.watch import Watcher
from event_service.http.authentication import RequestAuthenticator
from event_service.http.body import BodyReader
from event_service.http.console import event_pages, views, webhook_pages
from event_service.http.console.event_pages import AlertStates, EventPages
from event_service.http.console.pages import Pages
from event_service.http.console.rendering import HEADERS, Renderer, asset
from event_service.http.console.session import Sessions
from event_service.http.console.webhook_pages import WebhookPages
from event_service.identity.authenticator import Authenticator
from event_service.identity.authorization import scope_of
from event_service.normalize import known_names
from event_service.settings import Settings
from event_service.webhooks.options import MAPPING
from event_service.wire.timestamps import utc_now

_MEMORY_BYTES = 4 * 1024 * 1024  # of forms under way


class Events(event_pages.Events, Protocol):
    """What the pages need of `events/manager.py`."""


class Webhooks(webhook_pages.Webhooks, Protocol):
    """What the pages need of `webhooks/manager.py`."""


def console_routes(
    settings: Settings,
    *,
    events: Events,
    webhooks: Webhooks,
    authenticator: Authenticator,
    watcher: Watcher,
    alert_state: AlertStates,
    is_ready: Callable[[], bool],
    version: str,
    clock: Callable[[], datetime] = utc_now,
) -> list[Route]:
    """All pages.

    Args:
        alert_state: as `EventPages` takes it.
        is_ready: whether the service answers.
        clock: aware UTC.
    """
    renderer = Renderer(
        {"version": version, "number": views.number, "clock": views.clock, "iso": views.iso, "words": views.words}
    )
    bodies = BodyReader(seconds=settings.http_body_seconds, memory_bytes=_MEMORY_BYTES)
    pages = Pages(renderer, Sessions(settings, RequestAuthenticator(settings, authenticator)), bodies)
    about_events = EventPages(
        pages,
        events=events,
        webhooks=webhooks,
        watcher=watcher,
        alert_state=alert_state,
        is_ready=is_ready,
        clock=clock,
    )
    about_webhooks = WebhookPages(pages, webhooks=webhooks, parsers=[name for name in known_names() if name != MAPPING])
    doors = _Doors(pages)
    return [
        *about_events.routes(),
        *about_webhooks.routes(),
        Route("/sign-in", pages.guarded(doors.show), methods=["GET"]),
        Route("/sign-in", pages.guarded(doors.sign_in), methods=["POST"]),
        Route("/sign-out", pages.guarded(doors.sign_out), methods=["POST"]),
        Route("/console/{name}", pages.guarded(doors.asset)),
    ]


class _Doors:
    """In, out, and the files pages are made with."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def show(self, request: Request) -> Response:
        if not self._pages.sessions.needs_token:
            return RedirectResponse("/", 303, HEADERS)
        values = {"fault": None, "next": _own_address(request.query_params.get("next", ""))}
        return self._pages.page(request, "sign_in.html", values)

    async def sign_in(self, request: Request) -> Response:
        fields = await self._pages.form(request)
        given = [fields.get(name, "").strip() for name in ("token", "domain_id", "workspace_id")]
        there = _own_address(fields.get("next", ""))
        try:
            scope_of(self._pages.sessions.check(request, *given))
        except EventServiceError as error:
            values = {"fault": error, "next": there}
            return self._pages.page(request, "sign_in.html", values, error.http_status)
        answer = RedirectResponse(there, 303, HEADERS)
        self._pages.sessions.sign_in(request, answer, *given)
        return answer

    async def sign_out(self, request: Request) -> Response:
        await self._pages.form(request)
        answer = RedirectResponse("/sign-in", 303, HEADERS)
        self._pages.sessions.sign_out(answer)
        return answer

    async def asset(self, request: Request) -> Response:
        found = asset(request.path_params["name"], request.headers.get("if-none-match", ""))
        if found is None:
            raise NotFound("path", "as requested")
        return found


def _own_address(address: str) -> str:
    """The address if it is one of this console, else its first page: nobody is sent elsewhere after signing in."""
    fine = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if fine and "\\" not in address else "/"
