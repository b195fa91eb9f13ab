"""POST /monitoring/v1/webhook/{webhook_id}/{access_key}/events: what monitoring tools deliver.

Any content type is read as JSON. What is authentic but no JSON, nor a text that its headers explain, is stored as an
ERROR event all the same, so nothing that a tool sends with the right key is lost; the answer is 200 with `{}`, as
upstream's.
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
from event_service.events.delivery import CreateRequest, checked_idempotency_key
from event_service.events.manager import EventManager
from event_service.events.write_request import CreateOutcome
from event_service.http.body import BodyReader
from event_service.normalize.cloudevents import is_binary
from event_service.webhooks.manager import WebhookManager
from event_service.wire.json_text import LARGE_BODY, MAX_VALUES, NestedTooDeeply, NotJson, TooManyValues, parse_json

PATH = "/monitoring/v1/webhook/{webhook_id}/{access_key}/events"

# Both may be long, and clients limit the size of an answer's head.
_IDS_IN_HEADER = 20
_SENTENCES_IN_HEADER = 500


class Collector:
    """The webhook route.

    Args:
        limit: bytes of a body, and of what a compressed one unpacks to.
        clock: the time of receipt: timezone-aware UTC, whole milliseconds.
    """

    def __init__(
        self,
        *,
        events: EventManager,
        webhooks: WebhookManager,
        bodies: BodyReader,
        limit: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._events = events
        self._webhooks = webhooks
        self._bodies = bodies
        self._limit = limit
        self._clock = clock

    def routes(self) -> list[Route]:
        return [Route(PATH, self.deliver, methods=["POST"])]

    async def deliver(self, request: Request) -> Response:
        """Stores a delivery. Its ids and faults are in the answer's headers, as they are in the rpc's trailers."""
        webhook_id, access_key = request.path_params["webhook_id"], request.path_params["access_key"]
        # A stranger's body is not read: with a wrong key it ends here.
        await self._webhooks.authenticate(webhook_id, access_key)
        async with self._bodies.read(request, self._limit) as body:
            headers = joined_headers(request.scope["headers"])
            if len(body) > LARGE_BODY:
                payload, unreadable = await asyncio.to_thread(read_payload, body, headers)
            else:
                payload, unreadable = read_payload(body, headers)
            outcome = await self._events.create(
                CreateRequest(
                    webhook_id=webhook_id,
                    access_key=access_key,
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
    """The JSON value of a body and "", or its text as an object and why it is not JSON.

    Args:
        headers: names in lower case. Of a binary CloudEvent they say all that must be said: its body may be empty.

    Returns:
        None as the value of an empty body.

    Raises:
        RequiredParameter: the body holds nothing that could be lost.
        InvalidArgument: the body could be stored, but never be read again: it is nested too deeply.
        TooLarge: it holds too many values.
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
    """Headers by lower-case name; one that was sent several times has its values joined by commas."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def outcome_headers(outcome: CreateOutcome) -> Mapping[str, str]:
    """What became of the delivery: event-count, event-id, event-duplicate, event-error, event-ignored.

    Of the last two, which are sentences, anything but printable ASCII is percent-encoded as UTF-8.
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
