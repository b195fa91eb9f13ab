"""The pages about webhooks: their counters, and what can be done to them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from event_service.errors import EventServiceError, InvalidArgument, PermissionDenied
from event_service.http.console.pages import Pages
from event_service.http.console.rendering import HEADERS
from event_service.identity.authorization import scope_of
from event_service.model.activity import Activity
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook
from event_service.normalize import AUTO, canonical_name
from event_service.webhooks.info import InfoPage

PAGE_ROWS = 50
_OWN_FORMATS = (AUTO, "native")
_LONGEST_OVERLAP_HOURS = 720


class Webhooks(Protocol):
    """What is needed of `webhooks/manager.py`."""

    async def create(
        self, scope: Scope, *, name: str, plugin_info: Mapping[str, Any] | None, project_id: str
    ) -> tuple[Webhook, str]: ...
    async def list(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], access_key: str = ""
    ) -> InfoPage: ...
    async def get(self, scope: Scope, webhook_id: str) -> Webhook: ...
    async def enable(self, scope: Scope, webhook_id: str) -> Webhook: ...
    async def disable(self, scope: Scope, webhook_id: str) -> Webhook: ...
    async def delete(self, scope: Scope, webhook_id: str) -> None: ...
    async def rotate_key(self, scope: Scope, webhook_id: str, overlap: float = 0.0) -> tuple[Webhook, str]: ...
    def url(self, webhook_id: str, access_key: str = ...) -> str: ...


class WebhookPages:
    """Answers what is asked about webhooks, and does what is asked of them.

    Args:
        parsers: names a webhook's payloads may be read by.
    """

    def __init__(self, pages: Pages, *, webhooks: Webhooks, parsers: list[str]) -> None:
        self._pages = pages
        self._webhooks = webhooks
        self._parsers = parsers

    def routes(self) -> list[Route]:
        guarded = self._pages.guarded
        return [
            Route("/webhooks", guarded(self.list), methods=["GET"]),
            Route("/webhooks", guarded(self.create), methods=["POST"]),
            Route("/webhooks/{webhook_id}/{action}", guarded(self.act), methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """Webhooks, the newest first, and a form for a new one."""
        return await self._list(request, {}, None)

    async def create(self, request: Request) -> Response:
        """Makes one, and shows its address with the key, this once."""
        principal = self._pages.principal(request)
        fields = await self._pages.form(request)
        project_id = fields.get("project_id", "").strip()
        try:
            webhook, access_key = await self._webhooks.create(
                scope_of(principal, "Webhook", "write", project_id),
                name=fields.get("name", ""),
                plugin_info={"plugin_id": fields.get("parser", "")},
                project_id=project_id,
            )
        except EventServiceError as error:
            if error.http_status >= 500:
                raise
            return await self._list(request, fields, error)
        return self._new_key(request, webhook, access_key, "Webhook created")

    async def act(self, request: Request) -> Response:
        """Enables, disables, deletes, or gives a new key."""
        scope = scope_of(self._pages.principal(request), "Webhook", "write")
        fields = await self._pages.form(request)
        webhook_id, action = request.path_params["webhook_id"], request.path_params["action"]
        if action == "rotate":
            webhook, access_key = await self._webhooks.rotate_key(scope, webhook_id, _overlap(fields))
            return self._new_key(request, webhook, access_key, "New access key")
        actions = {"enable": self._webhooks.enable, "disable": self._webhooks.disable, "delete": self._webhooks.delete}
        if action not in actions:
            raise InvalidArgument.at("action", f"must be one of {', '.join(actions)}, rotate")
        await actions[action](scope, webhook_id)
        return RedirectResponse("/webhooks", 303, HEADERS)

    async def _list(self, request: Request, typed: Mapping[str, str], fault: EventServiceError | None) -> Response:
        principal = self._pages.principal(request)
        scope = scope_of(principal, "Webhook", "read")
        find, number = request.query_params.get("find", "").strip(), _page_number(request)
        query: dict[str, Any] = {
            "sort": [{"key": "created_at", "desc": True}],
            "page": {"start": (number - 1) * PAGE_ROWS + 1, "limit": PAGE_ROWS},
        }
        if find:
            query["keyword"] = find
        page = await self._webhooks.list(scope, query, {})
        try:
            scope_of(principal, "Webhook", "write")
            may_write = True
        except PermissionDenied:
            may_write = False
        values = {
            "rows": page.rows,
            "activities": await self._activities(scope, [row["webhook_id"] for row in page.rows]),
            "total": page.total_count,
            "find": find,
            "page_number": number,
            "pages": -(-page.total_count // PAGE_ROWS),
            "parsers": self._parsers,
            "typed": typed,
            "fault": fault,
            "may_write": may_write,
        }
        return self._pages.page(request, "webhooks.html", values, fault.http_status if fault else 200)

    async def _activities(self, scope: Scope, webhook_ids: Sequence[str]) -> dict[str, Activity]:
        """What became of the webhooks' deliveries; without those that were deleted meanwhile."""
        answers = await asyncio.gather(
            *(self._webhooks.get(scope, webhook_id) for webhook_id in webhook_ids), return_exceptions=True
        )
        return {answer.webhook_id: answer.activity for answer in answers if isinstance(answer, Webhook)}

    def _new_key(self, request: Request, webhook: Webhook, access_key: str, heading: str) -> Response:
        values = {
            "heading": heading,
            "name": webhook.name,
            "webhook_id": webhook.webhook_id,
            "access_key": access_key,
            "url": self._webhooks.url(webhook.webhook_id, access_key),
            "parser": webhook.plugin.plugin_id,
            "reads_own_format": canonical_name(webhook.plugin.plugin_id) in _OWN_FORMATS,
            "old_until": webhook.previous_key_expires_at,
        }
        return self._pages.page(request, "new_key.html", values)


def _page_number(request: Request) -> int:
    text = request.query_params.get("page", "1")
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise InvalidArgument.at("page", "must be a number from 1 on")
    return int(text)


def _overlap(fields: Mapping[str, str]) -> float:
    """Seconds for which the key until now holds."""
    hours = fields.get("overlap_hours", "0").strip() or "0"
    if not hours.isdecimal() or len(hours) > 4 or int(hours) > _LONGEST_OVERLAP_HOURS:
        raise InvalidArgument.at("overlap_hours", f"must be a whole number between 0 and {_LONGEST_OVERLAP_HOURS}")
    return int(hours) * 3600.0
