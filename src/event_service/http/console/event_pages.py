"""The pages of events: the list with its charts, one event, and the live view."""

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from event_service.alerts.manager import AlertManager
from event_service.errors import EventServiceError, NotFound
from event_service.events.manager import EventManager
from event_service.events.watch import WatchBatch, Watcher
from event_service.http.console.charts import LATE_WAIT_SECONDS, ChartCache, Charts, Counted
from event_service.http.console.filter_form import PAGE_ROWS, RANGES, SEVERITIES, EventFilterForm
from event_service.http.console.live import LiveViews, message, resume_token
from event_service.http.console.pages import Pages, read_filter_form, set_htmx_url
from event_service.http.console.view_models import COLUMNS, event_row, event_view
from event_service.model.scope import Scope
from event_service.webhooks.manager import WebhookManager

TIMELINE_ROWS = 200

# Resources are last: an event has several, so counting them unwinds every event.
_BREAKDOWNS = {"provider": "provider", "webhook": "webhook_id", "resource": "resources"}


class EventPages:
    """The handlers of the pages of events.

    Args:
        clock: aware UTC.
    """

    def __init__(
        self,
        pages: Pages,
        *,
        events: EventManager,
        webhooks: WebhookManager,
        watcher: Watcher,
        alerts: AlertManager,
        live_views: LiveViews,
        clock: Callable[[], datetime],
    ) -> None:
        self._pages = pages
        self._events = events
        self._webhooks = webhooks
        self._watcher = watcher
        self._alerts = alerts
        self._live_views = live_views
        self._clock = clock
        self._charts = ChartCache(Counted(events.stat, _BREAKDOWNS))

    def routes(self) -> list[Route]:
        guarded = self._pages.guarded
        return [
            Route("/events", guarded(self.list)),
            Route("/events/charts", guarded(self.charts, page="/events")),
            Route("/events/live", guarded(self.live, page="/events")),
            Route("/events/{event_id}", guarded(self.event)),
        ]

    async def list(self, request: Request) -> Response:
        """Show events in a table, and their charts. Errors in the form are shown above an empty table."""
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        form = read_filter_form(request, EventFilterForm)
        names = await self._pages.webhook_names(self._webhooks, principal)
        now = self._this_minute()
        shown_at = self._clock()
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
            "live_url": "" if fault else form.live_url(shown_at),
            "fault": fault,
            "names": names,
            "ranges": RANGES,
            "severities": SEVERITIES,
        }
        response = self._pages.page(request, "events.html", values, status)
        set_htmx_url(request, response, form.url(page=form.page))
        return response

    async def charts(self, request: Request) -> Response:
        """Return the charts that were late when their page was shown, as a part of that page."""
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        form = read_filter_form(request, EventFilterForm)
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
            state = await self._state(scope, event.alert_id)
            query = {"only": list(COLUMNS), "page": {"limit": TIMELINE_ROWS}, "sort": [{"key": "created_at"}]}
            page = await self._events.list(scope, query, {"alert_id": event.alert_id})
            timeline, total = [event_row(row, names) for row in page.rows], page.total_count
        values = {"event": event, "timeline": timeline, "state": state, "more": max(0, total - len(timeline))}
        return self._pages.page(request, "event.html", values)

    async def _state(self, scope: Scope, alert_id: str) -> str:
        """Return the state of an alert; "" if it was deleted."""
        try:
            return str((await self._alerts.get(scope, alert_id)).get("state", ""))
        except NotFound:
            return ""

    async def live(self, request: Request) -> Response:
        """Stream new matching events as server-sent events: one table row each, the last with the token to resume from.

        Raises:
            Overloaded, Unavailable: see `LiveViews.admit`.
        """
        principal = self._pages.principal(request)
        scope = self._pages.event_scope(request)
        query = read_filter_form(request, EventFilterForm).base_query()
        self._live_views.admit()
        names = await self._pages.webhook_names(self._webhooks, principal)

        def encode(batch: WatchBatch) -> str:
            rows = [event_row(wire, names) for wire in batch.events]
            html = [self._pages.renderer.text("row.html", {"row": row, "live": True}) for row in rows]
            # Only the last row has the token: a client that disconnects earlier gets all rows again.
            return "".join(
                message("row", row, batch.token if number == len(html) else "") for number, row in enumerate(html, 1)
            )

        batches = self._watcher.watch(scope, query, {}, resume_token(request))
        return self._live_views.stream(request, batches, encode)
