"""The pages about events: the list with its figures, one event, and the live view."""

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
from event_service.http.console import charts as figures
from event_service.http.console.charts import Insight, Insights
from event_service.http.console.filter_form import PAGE_ROWS, RANGES, SEVERITIES, TYPES, Selection, read_selection
from event_service.http.console.pages import Pages
from event_service.http.console.rendering import HEADERS
from event_service.http.console.view_models import COLUMNS, event_row, event_view
from event_service.model.condition import AlertState
from event_service.model.scope import Scope
from event_service.webhooks.manager import WebhookManager
from event_service.wire.timestamps import format_timestamp

TIMELINE_ROWS = 200

AlertStates = Callable[[Scope, str], Awaitable[AlertState | None]]
"""The state of an alert by its id; None for one that is not there, or is somebody else's."""

_SAID_OF_STATES = {AlertState.ACKNOWLEDGED: "acknowledged", AlertState.RESOLVED: "resolved"}

LIVE_VIEWS = 64
"""Live views one process keeps up; they are watchers like others."""

_STILL_THERE_SECONDS = 15.0  # proxies cut connections that have been silent for a minute


class EventPages:
    """Answers what is asked about events.

    Args:
        alert_state: see `AlertStates`.
        is_ready: whether the service answers; live views end when it does not, as when it stops.
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
        self._insights = Insights(events)

    def routes(self) -> list[Route]:
        guarded = self._pages.guarded
        return [
            Route("/", guarded(self.list)),
            Route("/figures", guarded(self.figures, page="/")),
            Route("/events/{event_id}", guarded(self.event)),
            Route("/live", guarded(self.live, page="/")),
        ]

    async def list(self, request: Request) -> Response:
        """Events in a table, and figures about them. What was typed wrongly is said above an empty table."""
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        selection = _selection(request)
        names = await self._pages.webhook_names(self._webhooks, principal)
        now = self._this_minute()
        told_from = format_timestamp(self._clock())
        rows, total, insight, fault, status = [], 0, Insight(), None, 200
        try:
            query = {
                **selection.query(now),
                "only": list(COLUMNS),
                "page": {"start": (selection.page - 1) * PAGE_ROWS + 1, "limit": PAGE_ROWS},
            }
            page = await self._events.list(scope, query, {})
            rows, total = [event_row(row, names) for row in page.rows], page.total_count
            insight = await self._insights.get(scope, selection, now, names)
        except EventServiceError as error:
            if error.http_status >= 500:
                raise
            fault, status = error, error.http_status
        values = {
            "selection": selection,
            "rows": rows,
            "total": total,
            "pages": -(-total // PAGE_ROWS),
            "insight": insight,
            "live_address": _live_address(selection, told_from) if selection.live and not fault else "",
            "fault": fault,
            "names": names,
            "ranges": RANGES,
            "severities": SEVERITIES,
            "types": TYPES,
        }
        answer = self._pages.page(request, "events.html", values, status)
        if request.headers.get("hx-request") == "true":
            _name_address(request, answer, selection.address(page=selection.page))
        return answer

    async def figures(self, request: Request) -> Response:
        """The figures of a list whose page could not wait for them, to be put into that page."""
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        selection = _selection(request)
        names = await self._pages.webhook_names(self._webhooks, principal)
        insight = await self._insights.get(scope, selection, self._this_minute(), names, figures.PATIENCE_SECONDS)
        return self._pages.renderer.page("figures.html", {"selection": selection, "insight": insight})

    def _this_minute(self) -> datetime:
        """The same for a minute, so that what was counted for a selection can serve it again."""
        return self._clock().replace(second=0, microsecond=0)

    async def event(self, request: Request) -> Response:
        """One event, and what else there is of its alert."""
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        wire = await self._events.get(scope, request.path_params["event_id"])
        names = await self._pages.webhook_names(self._webhooks, principal)
        event = event_view(wire, names)
        timeline, total, state = [], 0, ""
        if event.alert_id:
            known = await self._alert_state(scope, event.alert_id)
            state = _SAID_OF_STATES.get(known, "open") if known else ""
            query = {"only": list(COLUMNS), "page": {"limit": TIMELINE_ROWS}, "sort": [{"key": "created_at"}]}
            page = await self._events.list(scope, query, {"alert_id": event.alert_id})
            timeline, total = [event_row(row, names) for row in page.rows], page.total_count
        values = {"event": event, "timeline": timeline, "state": state, "more": max(0, total - len(timeline))}
        return self._pages.page(request, "event.html", values)

    async def live(self, request: Request) -> Response:
        """New events of a selection as server-sent events: each a row of the table, the last with what to go on from.

        Raises:
            Overloaded: too many live views are open.
        """
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        query = _selection(request).conditions()
        token = request.headers.get("last-event-id", "") or request.query_params.get("after", "")
        if self._live_views >= LIVE_VIEWS:
            raise Overloaded("Too many live views are open.", retry_after=30)
        if not self._is_ready():
            raise Unavailable("The service is not ready.", retry_after=5)
        names = await self._pages.webhook_names(self._webhooks, principal)
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        news = self._watcher.watch(scope, query, {}, token)
        return StreamingResponse(self._stream(request, news, names), media_type="text/event-stream", headers=headers)

    async def _stream(
        self, request: Request, news: AsyncGenerator[WatchBatch, None], names: Mapping[str, str]
    ) -> AsyncIterator[str]:
        self._live_views += 1
        said_at = float("-inf")
        try:
            yield "retry: 3000\n\n"
            async for one in news:
                if not self._is_ready():
                    return
                self._pages.principal(request)  # whose token may have ended since
                rows = [event_row(wire, names) for wire in one.events]
                if rows:
                    said_at = time.monotonic()
                    html = [self._pages.renderer.text("row.html", {"row": row, "live": True}) for row in rows]
                    yield "".join(_message("row", row) for row in html[:-1]) + _message("row", html[-1], one.token)
                elif time.monotonic() - said_at >= _STILL_THERE_SECONDS:
                    said_at = time.monotonic()
                    yield _message("quiet", "", one.token)
        except EventServiceError:
            return  # the browser asks again, from the last id on, and is sent to sign in if that is what is wrong
        finally:
            self._live_views -= 1
            await news.aclose()


def _selection(request: Request) -> Selection:
    try:
        return read_selection(parse_qs(request.url.query, max_num_fields=100))
    except ValueError:
        return Selection()


def _live_address(selection: Selection, told_from: str) -> str:
    """Where new events come from, without a gap to those on the page."""
    address = selection.address("/live", live=False)
    return f"{address}{'&' if '?' in address else '?'}{urlencode({'after': told_from})}"


def _name_address(request: Request, answer: Response, address: str) -> None:
    """Has htmx show the address of what it swaps in: without empty fields, and once in the history."""
    shown = urlsplit(request.headers.get("hx-current-url", ""))
    is_shown = address == shown._replace(scheme="", netloc="", fragment="").geturl()
    answer.headers["HX-Replace-Url" if is_shown else "HX-Push-Url"] = address


def _message(name: str, data: str, token: str = "") -> str:
    """A server-sent event. Every line is marked as data, so that no text in it can say anything else."""
    lines = "".join(f"data: {line}\n" for line in re.split(r"\r\n|\r|\n", data))
    return (f"id: {token}\n" if token else "") + f"event: {name}\n{lines}\n"
