"""Google Cloud Pub/Sub: the envelope of push subscriptions, and of Eventarc, around the payload of any tool.

Source: https://cloud.google.com/pubsub/docs/push and https://cloud.google.com/eventarc/docs/cloudevents
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from event_service.errors import InvalidArgument, TooLarge
from event_service.model.event import EventDraft
from event_service.normalize.bodies import read_body
from event_service.normalize.fields import mapping, text
from event_service.normalize.result import (
    MOST_BYTES,
    BadItem,
    Headers,
    Json,
    Options,
    Parsed,
    ParseError,
    object_of,
)
from event_service.normalize.splitting import too_much

# Parses the message: payload, its attributes as headers, options, received_at, and why it is not JSON or "".
ReadInner = Callable[[Json, Headers, Options, datetime, str], Parsed]

_DATA = "message.data"


def detect(payload: Json, _headers: Headers) -> bool:
    envelope = _envelope_of(payload)
    message = mapping(envelope.get("message"))
    return "subscription" in envelope and ("messageId" in message or "message_id" in message)


def parse(
    payload: Json, _headers: Headers, options: Options, received_at: datetime, *, read_inner: ReadInner
) -> Parsed:
    """Return the events of the message. Its attributes are its headers: those of a CloudEvent describe it."""
    outer = object_of(payload)
    message = mapping(_envelope_of(outer).get("message"))
    attributes = {name.lower(): text(value) for name, value in mapping(message.get("attributes")).items()}
    try:
        inner, fault = _content_of(message, attributes)
        parsed = read_inner(inner, attributes, options, received_at, fault)
    except ParseError as error:
        parsed = Parsed(bad_items=[BadItem(error.faults, outer)])
    parsed.keep_subscription()
    _wrap(parsed, outer)
    if not parsed.message_id and (message_id := text(message.get("messageId")) or text(message.get("message_id"))):
        parsed.message_id = f"pubsub:{message_id}"
    return parsed


def _envelope_of(payload: Json) -> Mapping[str, Any]:
    """Return the object with `message` and `subscription`, which Eventarc sends as the data of a CloudEvent."""
    outer = mapping(payload)
    return mapping(outer.get("data")) if "specversion" in outer else outer


def _content_of(message: Mapping[str, Any], attributes: dict[str, str]) -> tuple[Json, str]:
    """Return the payload and why it is not JSON or ""; the attributes if the message has no data."""
    encoded = message.get("data")
    if not isinstance(encoded, str) or not encoded.strip():
        return attributes, ""
    try:
        return read_body(base64.b64decode(encoded, validate=True), attributes)
    except binascii.Error:
        raise ParseError.at(_DATA, "must be base64") from None
    except (InvalidArgument, TooLarge) as error:
        raise ParseError.at(_DATA, error.violations[0].description if error.violations else error.message) from None


def _wrap(parsed: Parsed, outer: dict[str, Any]) -> None:
    """Put the envelope into the raw_data of every item; of several each has its own member in it only."""
    items: list[EventDraft | BadItem] = [*parsed.events, *parsed.bad_items]
    if len(items) == 1:
        items[0].raw_data = outer
        return
    room = MOST_BYTES
    for item in items:
        content = json.dumps(item.raw_data).encode()
        item.raw_data = _with_data(outer, base64.b64encode(content).decode())
        room -= len(content)
        if room < 0:
            raise too_much(_DATA, f"makes {len(items)} events of more than {MOST_BYTES} bytes together")


def _with_data(outer: Mapping[str, Any], encoded: str) -> dict[str, Any]:
    if "message" not in outer:
        return {**outer, "data": _with_data(outer["data"], encoded)}
    return {**outer, "message": {**outer["message"], "data": encoded}}
