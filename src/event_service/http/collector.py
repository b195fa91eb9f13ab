"""POST /monitoring/v1/webhook/{webhook_id}/{access_key}/events: deliveries of monitoring tools.

The body is parsed as JSON whatever its content type. An authenticated delivery that cannot be parsed is stored as an
ERROR event, so nothing sent with a valid key is lost. The response is 200 with `{}`, as upstream's.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from event_service.errors import InvalidArgument, RequiredParameter, TooLarge
from event_service.events.delivery import CreateRequest
from event_service.events.idempotency_key import checked_idempotency_key
from event_service.events.manager import EventManager
from event_service.events.write_request import CreateResult
from event_service.http.body import BodyReader
from event_service.normalize.cloudevents import is_binary
from event_service.wire.json_text import LARGE_BODY, MAX_VALUES, NestedTooDeeply, NotJson, TooManyValues, parse_json

PATH = "/monitoring/v1/webhook/{webhook_id}/{access_key}/events"

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
        return [Route(PATH, self.deliver, methods=["POST"])]

    async def deliver(self, request: Request) -> Response:
        """Store a delivery. The response's headers carry ids and faults, as the rpc's trailers do."""
        webhook_id, access_key = request.path_params["webhook_id"], request.path_params["access_key"]
        # Unauthenticated bodies are not read.
        webhook = await self._events.admit(webhook_id, access_key)
        async with self._bodies.read(request, self._limit) as body:
            headers = joined_headers(request.scope["headers"])
            if len(body) > LARGE_BODY:
                payload, unreadable = await asyncio.to_thread(read_payload, body, headers)
            else:
                payload, unreadable = read_payload(body, headers)
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
        return JSONResponse({}, headers=outcome_headers(outcome))


def read_payload(body: bytes, headers: Mapping[str, str]) -> tuple[Any, str]:
    """Parse a body.

    Args:
        headers: names in lower case. A binary CloudEvent is described by its headers, so its body may be empty.

    Returns:
        The JSON value and ""; None and "" for an empty body; or, if the body is not JSON, `{"body": text}` and the
        reason.

    Raises:
        RequiredParameter: the body is empty or `{}`.
        InvalidArgument: the body is nested too deeply to be read back.
        TooLarge: the body holds too many values.
    """
    if not body.strip():
        if is_binary(headers):
            return None, ""
        raise RequiredParameter("data")
    try:
        payload = parse_json(body)
    except NotJson as problem:
        text = body.decode("utf-8", "backslashreplace")
        return {"body": text}, f"the body is not JSON: {problem}"
    except NestedTooDeeply:
        raise InvalidArgument.at("data", "is nested too deeply") from None
    except TooManyValues:
        raise TooLarge.at("data", f"more than {MAX_VALUES} values") from None
    if payload == {} and not is_binary(headers):
        raise RequiredParameter("data")
    return payload, ""


def joined_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by lower-case name, the values of repeated headers joined by commas."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
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
