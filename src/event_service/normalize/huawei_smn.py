"""Huawei Cloud's Simple Message Notification: the envelope of messages that any sender published to a topic.

Source: https://support.huaweicloud.com/intl/en-us/usermanual-smn/smn_ug_a9002.html
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, first_line, joined_key, objects, read_inner_json, text, texts
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
from event_service.normalize.severities import State, bare_title, named_state, severity_of_state, state_in_title
from event_service.normalize.splitting import check_split, single, too_much
from event_service.normalize.timestamps import moment

UNSUBSCRIBED = "unsubscribe confirmation"

# Parses the message with the first parser that detects it; None if there is no such parser.
ReadInner = Callable[[Json, Options, datetime], Parsed | None]


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict) and "topic_urn" in payload and "message_id" in payload and "type" in payload


def parse(
    payload: Json, _headers: Headers, options: Options, received_at: datetime, *, read_inner: ReadInner
) -> Parsed:
    """Return the events of the message, or one event by its subject. The link of a confirmation is never opened."""
    message = object_of(payload)
    kind = text(message.get("type"))
    if kind == "SubscriptionConfirmation":
        parsed = single(message, _subscription_event(message))
    elif kind == "UnsubscribeConfirmation":
        parsed = Parsed(ignored=[UNSUBSCRIBED])
    else:
        parsed = _read_notification(message, options, received_at, read_inner)
    if message_id := text(message.get("message_id")):
        parsed.message_id = f"smn:{message_id}"
    return parsed


def _read_notification(
    message: dict[str, Any], options: Options, received_at: datetime, read_inner: ReadInner
) -> Parsed:
    written = message.get("message")
    inner: Json = written if isinstance(written, dict) else None
    if isinstance(written, str) and written.lstrip()[:1] in {"{", "["}:
        try:
            inner = read_inner_json(written.encode("utf-8", "surrogatepass"), "message")
        except ValueError:
            inner = None
    is_json = isinstance(inner, dict) or bool(objects(inner))  # `42` and `[42]` are plain text
    try:
        parsed = (read_inner(inner, options, received_at) if is_json else None) or single(message, _free_text(message))
    except ParseError as error:
        return Parsed(bad_items=[BadItem(error.faults, message)])
    parsed.keep_subscription()
    items: list[EventDraft | BadItem] = [*parsed.events, *parsed.bad_items]
    check_split(len(items), len(message), "message")
    room = MOST_BYTES
    for item in items:
        if len(items) == 1:
            item.raw_data = message
            continue
        left = json.dumps(item.raw_data)
        room -= len(left)
        if room < 0:
            raise too_much("message", f"makes {len(items)} events of more than {MOST_BYTES} bytes together")
        item.raw_data = {**message, "message": left}
    return parsed


def _free_text(message: dict[str, Any]) -> EventDraft:
    topic, subject, body = (text(message.get(name)) for name in ("topic_urn", "subject", "message"))
    headline = first_line(subject or body)
    if not headline:
        raise ParseError.at("message", "must not be empty")
    title, word = bare_title(headline), state_in_title(headline)
    state = named_state(word) or State.FIRING
    return EventDraft(
        event_key=joined_key("huawei-smn", topic, title),
        event_type=state.event_type,
        title=title,
        description=body,
        severity=severity_of_state(word) or Severity.INFO,
        provider="huawei",
        additional_info=extra_fields(topic_urn=topic),
        occurred_at=moment(message.get("timestamp"), UTC),
    )


def _subscription_event(message: dict[str, Any]) -> EventDraft:
    topic, link = text(message.get("topic_urn")), text(message.get("subscribe_url"))
    return EventDraft(
        event_key=joined_key("huawei-smn-subscription", topic),
        title=f"Huawei SMN topic {topic.rpartition(':')[2]} asks for confirmation of its subscription",
        description=f"Open this link once if the topic is yours: {link}",
        severity=Severity.INFO,
        resources=texts(topic),
        provider="huawei",
        additional_info=extra_fields(topic_urn=topic, subscribe_url=link),
        occurred_at=moment(message.get("timestamp"), UTC),
    )
