"""POST /monitoring/v1/webhook/{webhook_id}/{access_key}/events: deliveries of monitoring tools.

normalize/bodies.py reads the body. An authenticated delivery that cannot be parsed is stored as an ERROR event, so
nothing sent with a valid key is lost. The response is 200 with `{}`, as upstream's; clients of other services that
append their path to the URL get the answer that they expect.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from event_service.errors import MethodNotAllowed, PermissionDenied
from event_service.events.delivery import CreateRequest
from event_service.events.idempotency_key import checked_idempotency_key
from event_service.events.manager import EventManager
from event_service.events.write_request import CreateResult
from event_service.http.body import BodyReader
from event_service.http.error_response import error_body
from event_service.model.webhook import Webhook
from event_service.normalize import read_body, read_query
from event_service.normalize.pagerduty import with_dedup_key, with_incident_key
from event_service.normalize.result import Json
from event_service.wire.json_text import LARGE_BODY

PATH = "/monitoring/v1/webhook/{webhook_id}/{access_key}/events"

ALLOW_GET = "allow_get"
"""The webhook option that takes the query string of a GET as a delivery."""

ALLOWED_ORIGINS = "allowed_origins"
"""The webhook option with the CloudEvents origins that may deliver; without it all may."""

_MESSAGE = "Event processed"


def _enqueued(payload: Json) -> tuple[Json, Response]:
    payload, key = with_dedup_key(payload)
    return payload, JSONResponse({"status": "success", "message": _MESSAGE, "dedup_key": key}, 202)


def _change_enqueued(payload: Json) -> tuple[Json, Response]:
    return payload, JSONResponse({"status": "success", "message": "Change event processed"}, 202)


def _event_created(payload: Json) -> tuple[Json, Response]:
    payload, key = with_incident_key(payload)
    return payload, JSONResponse({"status": "success", "message": _MESSAGE, "incident_key": key})


def _stored(payload: Json) -> tuple[Json, Response]:
    return payload, JSONResponse({})


# Paths that clients of other services append to their base URL: PagerDuty Events API v2 and v1, and Prometheus.
_SUFFIXES: Mapping[str, Callable[[Json], tuple[Json, Response]]] = {
    "": _stored,
    "/v2/enqueue": _enqueued,
    "/v2/change/enqueue": _change_enqueued,
    "/generic/2010-04-15/create_event.json": _event_created,
    "/api/v2/alerts": _stored,
}

_METHODS = "OPTIONS, POST"

# Clients limit the size of response headers.
_IDS_IN_HEADER = 20
_SENTENCES_IN_HEADER = 500


class Collector:
    """The webhook route.

    Args:
        limit: largest body in bytes, compressed and decompressed.
        clock: the time of receipt: timezone-aware UTC, whole milliseconds.
    """

    def __init__(self, *, events: EventManager, bodies: BodyReader, limit: int, clock: Callable[[], datetime]) -> None:
        self._events = events
        self._bodies = bodies
        self._limit = limit
        self._clock = clock

    def routes(self) -> list[Route]:
        routes = []
        for suffix, answer in _SUFFIXES.items():
            # A slash at the end is the same URL.
            for path in (PATH + suffix, f"{PATH}{suffix}/"):
                endpoint = partial(self.deliver, answer)
                routes.append(Route(path, endpoint, methods=["POST", "GET", "OPTIONS"]))
        return routes

    async def deliver(self, answer: Callable[[Json], tuple[Json, Response]], request: Request) -> Response:
        """Store a delivery. The response's headers carry ids and faults, as the rpc's trailers do.

        Args:
            answer: returns the payload to store and the response for a payload.
        """
        webhook_id, access_key = request.path_params["webhook_id"], request.path_params["access_key"]
        # Unauthenticated bodies are not read.
        webhook = await self._events.admit(webhook_id, access_key)
        if request.method == "POST":
            async with self._bodies.read(request, self._limit) as body:
                return await self._store(webhook, request, answer, body)
        if request.method == "OPTIONS":
            return _allow_origin(webhook, request)
        if request.method == "GET" and webhook.plugin.options.get(ALLOW_GET) is True:
            return await self._store(webhook, request, answer, request.scope["query_string"])
        # HEAD, which routers add to GET, stores nothing.
        refusal = MethodNotAllowed(f"{request.method} stores nothing here: POST, or set the option {ALLOW_GET}.")
        return JSONResponse(error_body(refusal), refusal.http_status, {"Allow": _METHODS})

    async def _store(
        self,
        webhook: Webhook,
        request: Request,
        answer: Callable[[Json], tuple[Json, Response]],
        body: bytes,
    ) -> Response:
        headers = joined_headers(request.scope["headers"])
        read = read_query if request.method == "GET" else read_body
        if len(body) > LARGE_BODY:
            payload, unreadable = await asyncio.to_thread(read, body, headers)
        else:
            payload, unreadable = read(body, headers)
        payload, response = answer(payload)
        outcome = await self._events.create(
            CreateRequest(
                webhook=webhook,
                payload=payload,
                received_at=self._clock(),
                idempotency_key=checked_idempotency_key(headers.get("idempotency-key", ""), "idempotency-key"),
                headers=headers,
                raw_body=body,
                unreadable=unreadable,
            )
        )
        response.headers.update(outcome_headers(outcome))
        return response


def _allow_origin(webhook: Webhook, request: Request) -> Response:
    """Answer the validation of CloudEvents' webhooks, by which a sender asks whether it may deliver.

    Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection

    Raises:
        PermissionDenied: the webhook's option names other origins.
    """
    headers = {"Allow": _METHODS}
    if origin := request.headers.get("webhook-request-origin", "").strip():
        allowed = webhook.plugin.options.get(ALLOWED_ORIGINS)
        if allowed is not None and not {origin.lower(), "*"} & {name.lower() for name in allowed}:
            raise PermissionDenied(f"The webhook's option {ALLOWED_ORIGINS} does not have this origin.")
        headers["WebHook-Allowed-Origin"] = origin
        if "webhook-request-rate" in request.headers:
            headers["WebHook-Allowed-Rate"] = "*"
    return Response(status_code=200, headers=headers)


def joined_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by lower-case name, the values of repeated headers joined by commas."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.decode("latin-1")
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def outcome_headers(outcome: CreateResult) -> Mapping[str, str]:
    """Return the outcome as headers: event-count, event-id, event-duplicate, event-error, event-ignored.

    In the last two, which are sentences, everything but printable ASCII is percent-encoded as UTF-8.
    """
    headers = {"event-count": str(len(outcome.event_ids))}
    if outcome.event_ids:
        headers["event-id"] = ", ".join(outcome.event_ids[:_IDS_IN_HEADER])
    if outcome.duplicate:
        headers["event-duplicate"] = "true"
    for name, sentences in (("event-error", outcome.faults), ("event-ignored", outcome.ignored)):
        if sentences:
            text = "; ".join(sentences)[:_SENTENCES_IN_HEADER]
            headers[name] = quote(text.encode("utf-8", "replace"), safe=" !#$&'()*+,/:;=?@[]<>{}|^`\"\\")
    return headers
