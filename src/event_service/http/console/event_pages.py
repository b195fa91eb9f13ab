"""The pages of events: the list with its charts, one event, and the live view."""

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from event_service.errors import EventServiceError, Overloaded, Unavailable
from event_service.events.manager import EventManager
from event_service.events.watch import WatchBatch, Watcher
from event_service.http.console.charts import LATE_WAIT_SECONDS, ChartCache, Charts
from event_service.http.console.filter_form import PAGE_ROWS, RANGES, SEVERITIES, TYPES, FilterForm, parse_filter_form
from event_service.http.console.pages import Pages
from event_service.http.console.rendering import HEADERS
from event_service.http.console.view_models import COLUMNS, event_row, event_view
from event_service.model.condition import AlertState
from event_service.model.scope import Scope
from event_service.webhooks.manager import WebhookManager
from event_service.wire.timestamps import format_timestamp

TIMELINE_ROWS = 200

AlertStates = Callable[[Scope, str], Awaitable[AlertState | None]]
"""Returns the state of an alert by its id; None if it does not exist in the scope."""

_STATE_LABELS = {AlertState.ACKNOWLEDGED: "acknowledged", AlertState.RESOLVED: "resolved"}

LIVE_VIEWS = 64
"""Most live views of one process."""

_KEEP_ALIVE_SECONDS = 15.0  # proxies close connections that are silent for a minute


class EventPages:
    """The handlers of the pages of events.

    Args:
        alert_state: see `AlertStates`.
        is_ready: returns False once the service stops; live views end then.
        clock: aware UTC.
    """

    def __init__(
        self,
        pages: Pages,
        *,
        events: EventManager,
        webhooks: WebhookManager,
        watcher: Watcher,
        alert_state: AlertStates,
        is_ready: Callable[[], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._pages = pages
        self._events = events
        self._webhooks = webhooks
        self._watcher = watcher
        self._alert_state = alert_state
        self._is_ready = is_ready
        self._clock = clock
        self._live_views = 0
        self._charts = ChartCache(events)

    def routes(self) -> list[Route]:
        guarded = self._pages.guarded
        return [
            Route("/", guarded(self.list)),
            Route("/charts", guarded(self.charts, page="/")),
            Route("/events/{event_id}", guarded(self.event)),
            Route("/live", guarded(self.live, page="/")),
        ]

    async def list(self, request: Request) -> Response:
        """Show events in a table, and their charts. Errors in the form are shown above an empty table."""
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        form = _filter_form(request)
        names = await self._pages.webhook_names(self._webhooks, principal)
        now = self._this_minute()
        shown_at = format_timestamp(self._clock())
        rows, total, charts, fault, status = [], 0, Charts(), None, 200
        try:
            query = {
                **form.query(now),
                "only": list(COLUMNS),
                "page": {"start": (form.page - 1) * PAGE_ROWS + 1, "limit": PAGE_ROWS},
            }
            page = await self._events.list(scope, query, {})
            rows, total = [event_row(row, names) for row in page.rows], page.total_count
            charts = await self._charts.get(scope, form, now, names)
        except EventServiceError as error:
            if error.http_status >= 500:
                raise
            fault, status = error, error.http_status
        values = {
            "form": form,
            "rows": rows,
            "total": total,
            "pages": -(-total // PAGE_ROWS),
            "charts": charts,
            "live_url": _live_url(form, shown_at) if form.live and not fault else "",
            "fault": fault,
            "names": names,
            "ranges": RANGES,
            "severities": SEVERITIES,
            "types": TYPES,
        }
        response = self._pages.page(request, "events.html", values, status)
        if request.headers.get("hx-request") == "true":
            _set_htmx_url(request, response, form.url(page=form.page))
        return response

    async def charts(self, request: Request) -> Response:
        """Return the charts that were late when their page was shown, as a part of that page."""
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        form = _filter_form(request)
        names = await self._pages.webhook_names(self._webhooks, principal)
        charts = await self._charts.get(scope, form, self._this_minute(), names, LATE_WAIT_SECONDS)
        return self._pages.renderer.page("charts.html", {"form": form, "charts": charts})

    def _this_minute(self) -> datetime:
        # Truncated, so that requests of the same minute share cached charts.
        return self._clock().replace(second=0, microsecond=0)

    async def event(self, request: Request) -> Response:
        """Show one event, and the other events of its alert."""
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        wire = await self._events.get(scope, request.path_params["event_id"])
        names = await self._pages.webhook_names(self._webhooks, principal)
        event = event_view(wire, names)
        timeline, total, state = [], 0, ""
        if event.alert_id:
            alert_state = await self._alert_state(scope, event.alert_id)
            state = _STATE_LABELS.get(alert_state, "open") if alert_state else ""
            query = {"only": list(COLUMNS), "page": {"limit": TIMELINE_ROWS}, "sort": [{"key": "created_at"}]}
            page = await self._events.list(scope, query, {"alert_id": event.alert_id})
            timeline, total = [event_row(row, names) for row in page.rows], page.total_count
        values = {"event": event, "timeline": timeline, "state": state, "more": max(0, total - len(timeline))}
        return self._pages.page(request, "event.html", values)

    async def live(self, request: Request) -> Response:
        """Stream new matching events as server-sent events: one table row each, the last with the token to resume from.

        Raises:
            Overloaded: too many live views are open.
            Unavailable: the service is not ready.
        """
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        query = _filter_form(request).base_query()
        token = request.headers.get("last-event-id", "") or request.query_params.get("after", "")
        if self._live_views >= LIVE_VIEWS:
            raise Overloaded("Too many live views are open; close one or try again later.", retry_after=30)
        if not self._is_ready():
            raise Unavailable("The service is not ready; try again.", retry_after=5)
        names = await self._pages.webhook_names(self._webhooks, principal)
        # nginx must not buffer the stream.
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        batches = self._watcher.watch(scope, query, {}, token)
        return StreamingResponse(self._stream(request, batches, names), media_type="text/event-stream", headers=headers)

    async def _stream(
        self, request: Request, batches: AsyncGenerator[WatchBatch, None], names: Mapping[str, str]
    ) -> AsyncIterator[str]:
        self._live_views += 1
        sent_at = float("-inf")
        try:
            yield "retry: 3000\n\n"
            async for batch in batches:
                if not self._is_ready():
                    return
                self._pages.principal(request)  # raises once the token has expired
                rows = [event_row(wire, names) for wire in batch.events]
                if rows:
                    sent_at = time.monotonic()
                    html = [self._pages.renderer.text("row.html", {"row": row, "live": True}) for row in rows]
                    # Only the last row has the token: a client that disconnects earlier gets all rows again.
                    yield "".join(_message("row", row) for row in html[:-1]) + _message("row", html[-1], batch.token)
                elif time.monotonic() - sent_at >= _KEEP_ALIVE_SECONDS:
                    sent_at = time.monotonic()
                    yield _message("quiet", "", batch.token)
        except EventServiceError:
            return  # the browser reconnects from the last id, and is redirected to sign in if that is the cause
        finally:
            self._live_views -= 1
            await batches.aclose()


def _filter_form(request: Request) -> FilterForm:
    try:
        return parse_filter_form(parse_qs(request.url.query, max_num_fields=100))
    except ValueError:
        return FilterForm()


def _live_url(form: FilterForm, shown_at: str) -> str:
    """Return the URL of the stream that continues where the page ends."""
    url = form.url("/live", live=False)
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'after': shown_at})}"


def _set_htmx_url(request: Request, response: Response, url: str) -> None:
    """Make htmx show the URL of the new content: without empty fields, and once in the history."""
    shown = urlsplit(request.headers.get("hx-current-url", ""))
    is_shown = url == shown._replace(scheme="", netloc="", fragment="").geturl()
    response.headers["HX-Replace-Url" if is_shown else "HX-Push-Url"] = url


def _message(name: str, data: str, token: str = "") -> str:
    """Format a server-sent event. Every line is prefixed by `data:`, so that no text can inject another field."""
    lines = "".join(f"data: {line}\n" for line in re.split(r"\r\n|\r|\n", data))
    return (f"id: {token}\n" if token else "") + f"event: {name}\n{lines}\n"
