"""The Cloud Eye API at the root of the HTTP address: report events and read them back.

    POST /V1.0/{project_id}/events               201, [{"event_id", "event_name"}, ...]
    GET  /V1.0/{project_id}/events               one entry for each event name
    GET  /V1.0/{project_id}/event/{event_name}   the events of one name

The SDKs drop the path of an endpoint and treat a redirect as success, so these paths are matched exactly.
Order of checks: size, credentials, project, JSON, all rules of the body. An invalid body stores nothing.

Source: "Reporting Events" of the Cloud Eye API reference, and the vendor's SDKs; see docs/cloud-eye.md.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from event_service.errors import Unavailable
from event_service.events.manager import EventManager
from event_service.http.authentication import RequestAuthenticator
from event_service.http.body import BodyReader
from event_service.http.cloud_eye.caller import Caller, Callers, scope_of_webhook
from event_service.http.cloud_eye.errors import (
    BAD_BODY,
    BAD_PARAMETER,
    BAD_PROJECT,
    BODY_TOO_LARGE,
    NO_CONTENT,
    CloudEyeError,
)
from event_service.http.cloud_eye.events import EVENT_ID, draft_of, new_event_id, occurrence
from event_service.http.cloud_eye.queries import list_event_detail, list_events, parse_query_parameters, stored_ids
from event_service.http.cloud_eye.validation import Rules, find_faults, is_event_name, is_project_id
from event_service.model.event import EventDraft
from event_service.model.webhook import Webhook
from event_service.webhooks.manager import WebhookManager
from event_service.wire.json_text import NestedTooDeeply, NotJson, TooManyValues, parse_json
from event_service.wire.timestamps import utc_now

# Parsing a larger body would block the event loop for too long.
PARSED_IN_THREAD_BYTES = 256 * 1024


class CloudEye:
    """The handlers of the three calls.

    Args:
        limit: largest body, in bytes.
        clock: the server's time, timezone-aware.
    """

    def __init__(
        self,
        *,
        events: EventManager,
        webhooks: WebhookManager,
        authenticator: RequestAuthenticator,
        bodies: BodyReader,
        rules: Rules,
        limit: int,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._events = events
        self._webhooks = webhooks
        self._callers = Callers(webhooks, authenticator, clock)
        self._bodies = bodies
        self._rules = rules
        self._limit = limit
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the routes. The project matches any text, so that an invalid one gets its own error code."""
        path = "/V1.0/{project_id:path}"
        return [
            Route(f"{path}/events", self.report, methods=["POST"]),
            Route(f"{path}/events", self.overview, methods=["GET"]),
            Route(f"{path}/event/{{event_name}}", self.detail, methods=["GET"]),
        ]

    async def report(self, request: Request) -> Response:
        """Store the events of a request, each once, and return their ids in order."""
        async with self._receive(request) as (caller, body):
            project_id = _project_id(request)
            webhook = await self._callers.reporting_webhook(caller, project_id)
            received_at = self._clock()
            try:
                items = await self._read_items(body, received_at)
            except CloudEyeError:
                self._webhooks.count(webhook.webhook_id, error=True)
                raise
            self._webhooks.count(webhook.webhook_id, error=False)
            ids = await self._store(webhook, project_id, items, received_at)
        entries = [
            {"event_id": event_id, "event_name": item["event_name"]} for event_id, item in zip(ids, items, strict=True)
        ]
        return JSONResponse(entries, 201)

    async def overview(self, request: Request) -> Response:
        """List the reported events, one entry for each event name."""
        async with self._receive(request) as (caller, _):
            project_id = _project_id(request)
            scope = self._callers.reading_scope(caller, project_id)
        parameters = parse_query_parameters(request.scope["query_string"], ("event_name",), self._clock())
        return JSONResponse(await list_events(self._events, scope, project_id, parameters))

    async def detail(self, request: Request) -> Response:
        """List the events of one name."""
        async with self._receive(request) as (caller, _):
            project_id = _project_id(request)
            scope = self._callers.reading_scope(caller, project_id)
        event_name = request.path_params["event_name"]
        if not is_event_name(event_name):
            raise CloudEyeError(BAD_PARAMETER, "event_name must be 1 to 64 letters, digits and underscores")
        filters = ("event_source", "event_level", "event_user", "event_state")
        parameters = parse_query_parameters(request.scope["query_string"], filters, self._clock())
        return JSONResponse(await list_event_detail(self._events, scope, project_id, event_name, parameters))

    @asynccontextmanager
    async def _receive(self, request: Request) -> AsyncIterator[tuple[Caller, bytes]]:
        """Yield the authenticated caller and the body. The body of an unauthenticated caller is not read."""
        # The size is the first check; `read_wire` refuses the body.
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._limit:
            async with self._bodies.read_wire(request, self._limit):
                pass
        caller = await self._callers.identify(request)
        async with self._bodies.read_wire(request, self._limit) as body:
            caller.check_signature(request, body)
            yield caller, body

    async def _read_items(self, body: bytes, received_at: datetime) -> list[dict[str, Any]]:
        if not body.strip():
            raise CloudEyeError(NO_CONTENT)
        if len(body) > PARSED_IN_THREAD_BYTES:
            return await asyncio.to_thread(_valid_items, body, received_at, self._rules)
        return _valid_items(body, received_at, self._rules)

    async def _store(
        self, webhook: Webhook, project_id: str, items: Sequence[Mapping[str, Any]], received_at: datetime
    ) -> list[str]:
        """Store each distinct event once. Return the Cloud Eye id of every item, in order."""
        identities = [occurrence(item, project_id) for item in items]
        new: dict[str, EventDraft] = {}
        for identity, item in zip(identities, items, strict=True):
            if identity not in new:
                new[identity] = draft_of(item, project_id, new_event_id(received_at))
        outcomes = await self._events.create_drafts(
            webhook, [(draft, identity) for identity, draft in new.items()], received_at
        )
        ids: dict[str, str] = {}
        duplicates: dict[str, str] = {}
        for (identity, draft), outcome in zip(new.items(), outcomes, strict=True):
            if outcome.duplicate:
                duplicates[identity] = outcome.event_ids[0]
            else:
                ids[identity] = draft.additional_info[EVENT_ID]
        if duplicates:
            # A duplicate keeps the id that its first sender received.
            stored = await stored_ids(self._events, scope_of_webhook(webhook), list(duplicates.values()))
            for identity, event_id in duplicates.items():
                if not stored.get(event_id):
                    raise Unavailable("An event reported earlier cannot be read yet; send again.")
                ids[identity] = stored[event_id]
        return [ids[identity] for identity in identities]


def _valid_items(body: bytes, received_at: datetime, rules: Rules) -> list[dict[str, Any]]:
    try:
        items = parse_json(body, unique_keys=True)
    except NotJson as problem:
        raise CloudEyeError(BAD_BODY, f"the body is not JSON: {problem}") from None
    except NestedTooDeeply:
        raise CloudEyeError(BAD_BODY, "the body is nested too deeply") from None
    except TooManyValues:
        raise CloudEyeError(BODY_TOO_LARGE, "the body holds too many values") from None
    if faults := find_faults(items, received_at, rules):
        raise CloudEyeError(BAD_BODY, faults=[str(fault) for fault in faults])
    valid: list[dict[str, Any]] = items
    return valid


def _project_id(request: Request) -> str:
    project_id: str = request.path_params["project_id"]
    if not is_project_id(project_id):
        raise CloudEyeError(BAD_PROJECT)
    return project_id
