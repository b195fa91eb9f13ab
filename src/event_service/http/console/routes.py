"""The routes of the console."""

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from event_service.alerts.manager import AlertManager
from event_service.alerts.watch import AlertWatcher
from event_service.errors import EventServiceError, NotFound
from event_service.events.manager import EventManager
from event_service.events.watch import Watcher
from event_service.http.authentication import RequestAuthenticator
from event_service.http.body import BodyReader
from event_service.http.console import view_models
from event_service.http.console.alert_pages import AlertPages
from event_service.http.console.event_pages import EventPages
from event_service.http.console.live import LiveViews
from event_service.http.console.pages import Pages
from event_service.http.console.rendering import HEADERS, Renderer, asset
from event_service.http.console.session import Sessions
from event_service.http.console.webhook_pages import WebhookPages
from event_service.identity.authenticator import Authenticator
from event_service.identity.authorization import scope_of
from event_service.normalize import known_names
from event_service.settings import Settings
from event_service.webhooks.manager import WebhookManager
from event_service.webhooks.options import MAPPING
from event_service.wire.timestamps import utc_now

_MEMORY_BYTES = 4 * 1024 * 1024  # of all forms in flight


def console_routes(
    settings: Settings,
    *,
    events: EventManager,
    webhooks: WebhookManager,
    authenticator: Authenticator,
    watcher: Watcher,
    alerts: AlertManager,
    alert_watcher: AlertWatcher,
    is_ready: Callable[[], bool],
    version: str,
    clock: Callable[[], datetime] = utc_now,
) -> list[Route]:
    """Return the routes of all pages.

    Args:
        is_ready: returns False once the service stops.
        clock: aware UTC.
    """
    renderer = Renderer(
        {
            "version": version,
            "number": view_models.number,
            "clock": view_models.clock,
            "iso": view_models.iso,
            "age": view_models.age,
            "linked": view_models.linked,
            "link": view_models.link,
            "words": view_models.words,
        }
    )
    bodies = BodyReader(seconds=settings.http_body_seconds, memory_bytes=_MEMORY_BYTES)
    pages = Pages(renderer, Sessions(settings, RequestAuthenticator(settings, authenticator)), bodies)
    live_views = LiveViews(pages, is_ready)
    event_pages = EventPages(
        pages,
        events=events,
        webhooks=webhooks,
        watcher=watcher,
        alerts=alerts,
        live_views=live_views,
        clock=clock,
    )
    alert_pages = AlertPages(
        pages,
        alerts=alerts,
        events=events,
        webhooks=webhooks,
        watcher=alert_watcher,
        live_views=live_views,
        clock=clock,
    )
    webhook_pages = WebhookPages(pages, webhooks=webhooks, parsers=[name for name in known_names() if name != MAPPING])
    session_pages = _SessionPages(pages)
    return [
        *alert_pages.routes(),
        *event_pages.routes(),
        *webhook_pages.routes(),
        Route("/sign-in", pages.guarded(session_pages.show), methods=["GET"]),
        Route("/sign-in", pages.guarded(session_pages.sign_in), methods=["POST"]),
        Route("/sign-out", pages.guarded(session_pages.sign_out), methods=["POST"]),
        Route("/console/{name}", pages.guarded(session_pages.asset)),
    ]


class _SessionPages:
    """Sign-in, sign-out, and static files."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def show(self, request: Request) -> Response:
        if not self._pages.sessions.needs_token:
            return RedirectResponse("/", 303, HEADERS)
        values = {"fault": None, "next": _local_url(request.query_params.get("next", ""))}
        return self._pages.page(request, "sign_in.html", values)

    async def sign_in(self, request: Request) -> Response:
        fields = await self._pages.form(request)
        credentials = [fields.get(name, "").strip() for name in ("token", "domain_id", "workspace_id")]
        next_url = _local_url(fields.get("next", ""))
        response = RedirectResponse(next_url, 303, HEADERS)
        try:
            scope_of(self._pages.sessions.check(request, *credentials))
            self._pages.sessions.sign_in(request, response, *credentials)
        except EventServiceError as error:
            values = {"fault": error, "next": next_url}
            return self._pages.page(request, "sign_in.html", values, error.http_status)
        return response

    async def sign_out(self, request: Request) -> Response:
        await self._pages.form(request)
        response = RedirectResponse("/sign-in", 303, HEADERS)
        self._pages.sessions.sign_out(response)
        return response

    async def asset(self, request: Request) -> Response:
        found = asset(request.path_params["name"], request.headers.get("if-none-match", ""))
        if found is None:
            raise NotFound("path", "as requested")
        return found


def _local_url(url: str) -> str:
    """Return the URL if it is a path of this console, else "/": an open redirect would help phishing."""
    is_local = url.startswith("/") and not url.startswith("//") and url.isprintable() and "\\" not in url
    return url if is_local else "/"
