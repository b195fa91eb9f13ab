"""The pages of webhooks: their counters, and the actions on them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

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
from event_service.webhooks.manager import WebhookManager

PAGE_ROWS = 50
_NATIVE_PARSERS = (AUTO, "native")
_MAX_OVERLAP_HOURS = 720


class WebhookPages:
    """The handlers of the pages of webhooks.

    Args:
        parsers: names of the parsers to choose from.
    """

    def __init__(self, pages: Pages, *, webhooks: WebhookManager, parsers: list[str]) -> None:
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
        """Show webhooks, the newest first, and a form for a new one."""
        return await self._list(request, {}, None)

    async def create(self, request: Request) -> Response:
        """Create a webhook, and show its URL with the access key once."""
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
            # Errors of the form are shown above it, others on a page.
            if error.http_status >= 500:
                raise
            return await self._list(request, fields, error)
        return self._new_key(request, webhook, access_key, "Webhook created")

    async def act(self, request: Request) -> Response:
        """Enable, disable or delete a webhook, or rotate its key."""
        scope = scope_of(self._pages.principal(request), "Webhook", "write")
        fields = await self._pages.form(request)
        webhook_id, action = request.path_params["webhook_id"], request.path_params["action"]
        if action == "rotate":
            webhook, access_key = await self._webhooks.rotate_key(scope, webhook_id, _overlap_seconds(fields))
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
        """Return the latest deliveries of webhooks by id, without webhooks deleted meanwhile."""
        webhooks = await asyncio.gather(
            *(self._webhooks.get(scope, webhook_id) for webhook_id in webhook_ids), return_exceptions=True
        )
        return {webhook.webhook_id: webhook.activity for webhook in webhooks if isinstance(webhook, Webhook)}

    def _new_key(self, request: Request, webhook: Webhook, access_key: str, heading: str) -> Response:
        values = {
            "heading": heading,
            "name": webhook.name,
            "webhook_id": webhook.webhook_id,
            "access_key": access_key,
            "url": self._webhooks.url(webhook.webhook_id, access_key),
            "parser": webhook.plugin.plugin_id,
            "is_native": canonical_name(webhook.plugin.plugin_id) in _NATIVE_PARSERS,
            "old_until": webhook.previous_key_expires_at,
        }
        return self._pages.page(request, "new_key.html", values)


def _page_number(request: Request) -> int:
    text = request.query_params.get("page", "1")
    if not text.isdecimal() or len(text) > 6 or int(text) < 1:
        raise InvalidArgument.at("page", "must be a number, 1 or more")
    return int(text)


def _overlap_seconds(fields: Mapping[str, str]) -> float:
    hours = fields.get("overlap_hours", "0").strip() or "0"
    if not hours.isdecimal() or len(hours) > 4 or int(hours) > _MAX_OVERLAP_HOURS:
        raise InvalidArgument.at("overlap_hours", f"must be an integer between 0 and {_MAX_OVERLAP_HOURS}")
    return int(hours) * 3600.0
