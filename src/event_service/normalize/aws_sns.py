"""Amazon SNS: the envelope that CloudWatch, Health and anything else published to a topic arrives in.

Source: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from event_service.errors import InvalidArgument
from event_service.model.event import EventDraft, Severity
from event_service.normalize import aws_cloudwatch
from event_service.normalize.aws_arn import read_arn
from event_service.normalize.fields import extra_fields, first_line, joined_key, objects, read_inner_json, text
from event_service.normalize.result import (
    MOST_BYTES,
    BadItem,
    Fault,
    Headers,
    Json,
    Options,
    Parsed,
    ParseError,
    Subscription,
    object_of,
)
from event_service.normalize.splitting import check_split, single, too_much
from event_service.normalize.timestamps import moment
from event_service.wire.struct_encode import encode_struct

SUBSCRIPTION = "subscription confirmation"
UNSUBSCRIBED = "unsubscribe confirmation"

_TYPES = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")

# Reads what the envelope holds: detection among all other formats. None: no format knows it, or it makes no event.
ReadInner = Callable[[Json, Options, datetime], Parsed | None]


def detect(payload: Json, _headers: Headers) -> bool:
    return (
        isinstance(payload, dict) and payload.get("Type") in _TYPES and "TopicArn" in payload and "MessageId" in payload
    )


def parse(
    payload: Json, _headers: Headers, options: Options, received_at: datetime, *, read_inner: ReadInner
) -> Parsed:
    """What the message holds; a message that is no JSON of a known format is an event by its subject.

    A SubscriptionConfirmation is never followed here: it comes back as `subscription`, to be confirmed by who has
    checked its signature, or stored as the event that carries its link.
    """
    message = object_of(payload)
    kind = text(message.get("Type"))
    if kind not in _TYPES:
        raise ParseError.at("Type", f"must be one of {', '.join(_TYPES)}")
    if kind == "SubscriptionConfirmation":
        parsed = Parsed(ignored=[SUBSCRIPTION], subscription=Subscription(message, _subscription_event(message)))
    elif kind == "UnsubscribeConfirmation":
        parsed = Parsed(ignored=[UNSUBSCRIBED])
    else:
        try:
            parsed = _read_notification(message, options, received_at, read_inner)
        except ParseError as error:
            parsed = Parsed(bad_items=[BadItem(error.faults, message)])
    if not parsed.message_id and (message_id := text(message.get("MessageId"))):
        parsed.message_id = f"sns:{message_id}"
    return parsed


def is_raw(headers: Headers) -> bool:
    """Whether the message came by raw delivery: it is the body, and what would be around it is in the headers."""
    return headers.get("x-amz-sns-rawdelivery", "").lower() == "true"


def detect_raw(payload: Json, headers: Headers) -> bool:
    """Whether the body is a text. JSON of a tool is that tool's, as it is in an envelope."""
    return is_raw(headers) and not _may_be_a_tools(payload)


def parse_raw(
    payload: Json, headers: Headers, options: Options, received_at: datetime, *, read_inner: ReadInner
) -> Parsed:
    """The same as in the envelope, which is made of the headers and kept in raw_data. They name no subject."""
    message = {
        "Type": "Notification",
        "MessageId": headers.get("x-amz-sns-message-id", ""),
        "TopicArn": headers.get("x-amz-sns-topic-arn", ""),
        "Message": payload if isinstance(payload, str) else json.dumps(payload),
    }
    return parse(message, headers, options, received_at, read_inner=read_inner)


def _read_notification(
    message: dict[str, Any], options: Options, received_at: datetime, read_inner: ReadInner
) -> Parsed:
    inner = _json_of(message.get("Message"))
    if aws_cloudwatch.detect(inner, {}):
        parsed = aws_cloudwatch.parse_alarm(inner, options, topic_arn=text(message.get("TopicArn")))
        parsed.source = "aws-cloudwatch"
    else:
        parsed = (read_inner(inner, options, received_at) if inner is not None else None) or _free_text(message)
    _set_aside_what_is_too_deep(parsed)
    items: list[EventDraft | BadItem] = [*parsed.events, *parsed.bad_items]
    several = len(items) > 1
    check_split(len(items), len(message), "Message")
    room = MOST_BYTES
    for item in items:
        if several:
            left = json.dumps(item.raw_data)
            room -= len(left)
            if room < 0:
                raise too_much("Message", f"makes {len(items)} events that repeat what is around them")
            item.raw_data = {**message, "Message": left}
        else:
            item.raw_data = message
    return parsed


def _json_of(written: Json) -> Json:
    """The message where it is JSON that may be a tool's, else None."""
    if not isinstance(written, str) or written.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        value = read_inner_json(written.encode("utf-8", "surrogatepass"), "Message")
    except ValueError:
        return None
    return value if _may_be_a_tools(value) else None


def _may_be_a_tools(value: Json) -> bool:
    """Whether it is an object, or a list that has one: `42` and `[42]` are somebody's text."""
    return isinstance(value, dict) or bool(objects(value))


def _set_aside_what_is_too_deep(parsed: Parsed) -> None:
    """Makes an event a bad item whose additional_info could not be stored: the message can, which is but a text."""
    events, parsed.events = parsed.events, []
    for event in events:
        try:
            encode_struct(event.additional_info, path="additional_info")
        except InvalidArgument as error:
            faults = [Fault(violation.field, violation.description) for violation in error.violations]
            parsed.bad_items.append(BadItem(faults, event.raw_data))
        else:
            parsed.events.append(event)


def _free_text(message: dict[str, Any]) -> Parsed:
    topic_arn, subject, body = (text(message.get(name)) for name in ("TopicArn", "Subject", "Message"))
    title = first_line(subject or body)
    if not title:
        raise ParseError.at("Message", "must not be empty")
    draft = EventDraft(
        event_key=joined_key("aws-sns", topic_arn, title),
        title=title,
        description=body,
        severity=Severity.INFO,
        provider="aws",
        account=read_arn(topic_arn).account,
        additional_info=extra_fields(topic_arn=topic_arn),
        occurred_at=moment(message.get("Timestamp")),
    )
    return single(message, draft)


def _subscription_event(message: dict[str, Any]) -> EventDraft:
    topic_arn = text(message.get("TopicArn"))
    topic = read_arn(topic_arn)
    link = text(message.get("SubscribeURL"))
    return EventDraft(
        event_key=joined_key("aws-sns-subscription", topic_arn),
        title=f"Amazon SNS topic {topic.resource or topic_arn} waits for its subscription to be confirmed",
        description=f"Open this link once if the topic is yours: {link}",
        severity=Severity.INFO,
        resources=[topic_arn] if topic_arn else [],
        provider="aws",
        account=topic.account,
        additional_info=extra_fields(topic_arn=topic_arn, subscribe_url=link),
        occurred_at=moment(message.get("Timestamp")),
        raw_data=message,
    )
