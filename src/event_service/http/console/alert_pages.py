"""The pages of alerts: the list of open ones, which the console opens on, one alert, and the changes by hand."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from cachetools import TTLCache
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from event_service.alerts.manager import AlertManager
from event_service.alerts.watch import AlertBatch, AlertWatcher
from event_service.concurrency.single_flight import SingleFlight
from event_service.errors import EventServiceError, InvalidArgument, Overloaded, PermissionDenied, QueryTimeout
from event_service.events.manager import EventManager
from event_service.http.console.charts import (
    LATE_WAIT_SECONDS,
    MAX_CACHED,
    ChartCache,
    Charts,
    Counted,
    retrieve_error,
    severity_query,
    severity_shares,
)
from event_service.http.console.event_pages import TIMELINE_ROWS
from event_service.http.console.filter_form import PAGE_ROWS, RANGES, SEVERITIES, AlertFilterForm
from event_service.http.console.live import LiveViews, message, resume_token
from event_service.http.console.pages import Pages, read_filter_form, set_htmx_url
from event_service.http.console.rendering import HEADERS
from event_service.http.console.view_models import (
    ALERT_COLUMNS,
    COLUMNS,
    EventRow,
    EventView,
    alert_row,
    alert_view,
    event_row,
    event_view,
)
from event_service.identity.authorization import scope_of
from event_service.model.condition import AlertState
from event_service.model.scope import Scope
from event_service.webhooks.manager import WebhookManager

COUNT_WAIT_SECONDS = 0.05
"""A page shows its alerts without the counts that take longer."""

_BREAKDOWNS = {"webhook": "webhook_id", "assignee": "assignee", "resource": "resources.name"}
_STATES = {
    "acknowledge": AlertState.ACKNOWLEDGED,
    "resolve": AlertState.RESOLVED,
    "reopen": AlertState.TRIGGERED,
}
_SLOW_COUNT_SECONDS = 0.5  # reuse of a count that the page does not wait for; live lists ask once a second
_REFRESH_SECONDS = 1.0  # least time between two refreshes of a live view

_Question = tuple[Scope, AlertFilterForm, datetime]


class Failure(NamedTuple):
    """An alert of a selection that was not changed, and why."""

    alert_id: str
    reason: str


class AlertPages:
    """The handlers of the pages of alerts.

    Args:
        clock: aware UTC.
    """

    def __init__(
        self,
        pages: Pages,
        *,
        alerts: AlertManager,
        events: EventManager,
        webhooks: WebhookManager,
        watcher: AlertWatcher,
        live_views: LiveViews,
        clock: Callable[[], datetime],
    ) -> None:
        self._pages = pages
        self._alerts = alerts
        self._events = events
        self._webhooks = webhooks
        self._watcher = watcher
        self._live_views = live_views
        self._clock = clock
        self._charts = ChartCache(Counted(alerts.stat, _BREAKDOWNS, over_time=False))
        self._severities = SingleFlight(self._count_severities)
        self._slow_counts: TTLCache[_Question, Sequence[Mapping[str, Any]]] = TTLCache(MAX_CACHED, _SLOW_COUNT_SECONDS)

    def routes(self) -> list[Route]:
        guarded = self._pages.guarded
        return [
            Route("/", guarded(self.list)),
            Route("/alerts", guarded(self.act_on_selection, page="/"), methods=["POST"]),
            Route("/alerts/charts", guarded(self.charts, page="/")),
            Route("/alerts/live", guarded(self.live, page="/")),
            Route("/alerts/{alert_id}", guarded(self.alert), methods=["GET"]),
            Route("/alerts/{alert_id}", guarded(self.act), methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """Show alerts in a table, and their counts. Errors in the form are shown above an empty table."""
        return await self._list(request)

    async def act_on_selection(self, request: Request) -> Response:
        """Change the state of several alerts, and show the list with what failed."""
        scope = scope_of(self._pages.principal(request), "Alert", "write")
        fields = await self._pages.form_lists(request)
        action = fields.get("action", [""])[-1]
        failures: list[Failure] = []
        for chosen in fields.get("alert", ()):
            alert_id, _, seen = chosen.partition(" ")
            try:
                await self._act(request, scope, alert_id, action, seen)
            except EventServiceError as error:
                if error.http_status >= 500:
                    raise
                failures.append(Failure(alert_id, _reason(error)))
        if not fields.get("alert"):
            failures.append(Failure("", "No alerts are selected."))
        if failures:
            return await self._list(request, failures)
        form = read_filter_form(request, AlertFilterForm)
        return RedirectResponse(form.url(page=form.page, live=form.live), 303, HEADERS)

    async def charts(self, request: Request) -> Response:
        """Return the counts that were late when their page was shown, as a part of that page."""
        scope = self._scope(request)
        form = read_filter_form(request, AlertFilterForm)
        names = await self._names(request)
        charts, _ = await self._count(scope, form, names, LATE_WAIT_SECONDS)
        return self._pages.renderer.page("charts.html", {"form": form, "charts": charts})

    async def live(self, request: Request) -> Response:
        """Stream server-sent events that tell the page to refresh, at most one a second.

        Raises:
            Overloaded, Unavailable: see `LiveViews.admit`.
        """
        scope = self._scope(request)
        # Filters by what may change would hide that an alert has left the list.
        form = AlertFilterForm(choice="ALL", webhook_id=read_filter_form(request, AlertFilterForm).webhook_id)
        self._live_views.admit()

        def encode(batch: AlertBatch) -> str:
            return message("changed", "", batch.token) if batch.alerts else ""

        batches = self._watcher.watch(scope, form.base_query(), {}, resume_token(request))
        return self._live_views.stream(request, batches, encode, _REFRESH_SECONDS)

    async def alert(self, request: Request) -> Response:
        """Show one alert, its newest event, and the others as a timeline."""
        return await self._alert(request)

    async def act(self, request: Request) -> Response:
        """Change the state of one alert."""
        scope = scope_of(self._pages.principal(request), "Alert", "write")
        fields = await self._pages.form(request)
        alert_id = request.path_params["alert_id"]
        try:
            await self._act(request, scope, alert_id, fields.get("action", ""), fields.get("seen", ""))
        except InvalidArgument as error:
            return await self._alert(request, _reason(error))
        return RedirectResponse(f"/alerts/{quote(alert_id, safe='')}", 303, HEADERS)

    async def _act(self, request: Request, scope: Scope, alert_id: str, action: str, seen: str) -> None:
        """Change the state of an alert, unless it has changed since the caller has seen it.

        Raises:
            InvalidArgument: another state was seen, or the alert cannot get the new one.
            EventServiceError: see `AlertManager.update`.
        """
        state = _STATES.get(action)
        if state is None:
            raise InvalidArgument.at("action", f"must be one of {', '.join(_STATES)}")
        alert = await self._alerts.get(scope, alert_id)
        current, responder = alert.get("state", ""), alert.get("responder")
        if current == state:
            return
        if current != seen:
            by = f" by {responder}" if responder else ""
            raise InvalidArgument.at("state", f"was changed to {current}{by} meanwhile; look at the alert again")
        user_id = self._pages.principal(request).user_id
        await self._alerts.update(scope, user_id, alert_id, state=state)

    async def _list(self, request: Request, failures: Sequence[Failure] = ()) -> Response:
        scope = self._scope(request)
        form = read_filter_form(request, AlertFilterForm)
        now = self._clock()
        names = await self._names(request)
        found: Sequence[Mapping[str, Any]] = ()
        charts, total, fault = Charts(None), None, None
        try:
            query = {
                **form.query(now),
                "only": list(ALERT_COLUMNS),
                # One more, to know whether a page follows.
                "page": {"start": (form.page - 1) * PAGE_ROWS + 1, "limit": PAGE_ROWS + 1},
            }
            found = (await self._alerts.list(scope, query, {}, counted=False)).rows
            charts, total = await self._count(scope, form, names, COUNT_WAIT_SECONDS)
        except EventServiceError as error:
            if error.http_status >= 500:
                raise
            fault = error
        shown = found[:PAGE_ROWS]
        events = await self._alerts.events(scope, [row["alert_id"] for row in shown]) if shown else {}
        values = {
            "form": form,
            "rows": [alert_row(row, events.get(row["alert_id"]), names) for row in shown],
            "has_more": len(found) > PAGE_ROWS,
            "total": total,
            "charts": charts,
            "live_url": "" if fault else form.live_url(now),
            "fault": fault,
            "failures": failures,
            "may_write": self._may_write(request),
            "now": now,
            "names": names,
            "ranges": RANGES,
            "severities": SEVERITIES,
            "here": "/",
        }
        status = fault.http_status if fault else 409 if failures else 200
        response = self._pages.page(request, "alerts.html", values, status)
        set_htmx_url(request, response, form.url(page=form.page))
        return response

    async def _alert(self, request: Request, failure: str = "") -> Response:
        scope, alert_id = self._scope(request), request.path_params["alert_id"]
        fields = await self._alerts.get(scope, alert_id)
        events = await self._alerts.events(scope, [alert_id])
        names = await self._names(request)
        alert = alert_view(fields, events.get(alert_id), names)
        timeline, newest = await self._timeline(request, alert_id, names)
        values = {
            "alert": alert,
            "timeline": timeline,
            "newest": newest,
            "more": max(0, alert.events - len(timeline)),
            "failure": failure,
            "actions": _actions(alert.state) if self._may_write(request) else (),
            "now": self._clock(),
            "here": "/",
        }
        return self._pages.page(request, "alert.html", values, 409 if failure else 200)

    async def _timeline(
        self, request: Request, alert_id: str, names: Mapping[str, str]
    ) -> tuple[Sequence[EventRow], EventView | None]:
        """Return the newest events of an alert, and the newest in full; nothing if the caller may not read events."""
        try:
            scope = self._pages.event_scope(request)
        except PermissionDenied:
            return (), None
        query = {"only": list(COLUMNS), "page": {"limit": TIMELINE_ROWS}}
        page = await self._events.list(scope, query, {"alert_id": alert_id})
        rows = [event_row(row, names) for row in page.rows]
        newest = event_view(await self._events.get(scope, rows[0].event_id), names) if rows else None
        return rows, newest

    async def _count(
        self, scope: Scope, form: AlertFilterForm, names: Mapping[str, str], wait_seconds: float
    ) -> tuple[Charts, int | None]:
        """Return the counts that are made in time, and the number of matching alerts; None if that is late.

        Unlike the others, those by severity are of all severities, and up to date unless they take long.
        """
        minute = self._clock().replace(second=0, microsecond=0)
        question = (scope, replace(form, severities=(), page=1, live=False), minute)
        counting = asyncio.create_task(self._severities(question))
        counting.add_done_callback(retrieve_error)
        charts, _ = await asyncio.gather(
            self._charts.get(scope, form, minute, names, wait_seconds), asyncio.wait({counting}, timeout=wait_seconds)
        )
        try:
            rows = counting.result() if counting.done() else None
        except (QueryTimeout, Overloaded):
            rows = None
        if rows is None:
            return replace(charts, late=True), None
        total = sum(int(row["count"]) for row in rows if not form.severities or row.get("severity") in form.severities)
        return replace(charts, severities=severity_shares(rows, form)), total

    async def _count_severities(self, question: _Question) -> Sequence[Mapping[str, Any]]:
        if question in self._slow_counts:
            return self._slow_counts[question]
        scope, form, now = question
        started = time.monotonic()
        reply = await self._alerts.stat(scope, severity_query(form.query(now)))
        rows: Sequence[Mapping[str, Any]] = reply.get("results", ())
        if time.monotonic() - started > COUNT_WAIT_SECONDS:
            self._slow_counts[question] = rows
        return rows

    def _scope(self, request: Request) -> Scope:
        return scope_of(self._pages.principal(request), "Alert", "read")

    async def _names(self, request: Request) -> dict[str, str]:
        return await self._pages.webhook_names(self._webhooks, self._pages.principal(request))

    def _may_write(self, request: Request) -> bool:
        try:
            scope_of(self._pages.principal(request), "Alert", "write")
        except PermissionDenied:
            return False
        return True


def _actions(state: str) -> tuple[str, ...]:
    """Return the actions that change an alert of this state."""
    if state == AlertState.RESOLVED:
        return ("reopen",)
    return ("resolve", "reopen") if state == AlertState.ACKNOWLEDGED else ("acknowledge", "resolve")


def _reason(error: EventServiceError) -> str:
    return "; ".join(f"{fault.field} {fault.description}" for fault in error.violations) or error.message
