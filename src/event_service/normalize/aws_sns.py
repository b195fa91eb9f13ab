"""Amazon SNS: the envelope of messages that CloudWatch, Health or any other sender published to a topic.

Source: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from event_service.errors import InvalidArgument
from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize import aws_cloudwatch
from event_service.normalize.aws_arn import read_arn
from event_service.normalize.fields import extra_fields, first_line, joined_key, objects, read_inner_json, text
from event_service.normalize.result import (
    MOST_BYTES,
    SUBSCRIPTION,
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

UNSUBSCRIBED = "unsubscribe confirmation"

_TYPES = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")

# Parses the message with the first parser that detects it; None if there is no such parser.
ReadInner = Callable[[Json, Options, datetime], Parsed | None]


def detect(payload: Json, _headers: Headers) -> bool:
    return (
        isinstance(payload, dict) and payload.get("Type") in _TYPES and "TopicArn" in payload and "MessageId" in payload
    )


def parse(
    payload: Json, _headers: Headers, options: Options, received_at: datetime, *, read_inner: ReadInner
) -> Parsed:
    """Return the events of the message, or one event by its subject if the message is not JSON of a known format.

    The link of a SubscriptionConfirmation is never opened here. The message is returned as `subscription`: the caller
    confirms it after verifying its signature, or stores it as an event that carries the link.
    """
    message = object_of(payload)
    kind = text(message.get("Type"))
    if kind not in _TYPES:
        raise ParseError.at("Type", f"must be one of {', '.join(_TYPES)}")
    if kind == "SubscriptionConfirmation":
        parsed = Parsed(ignored=[SUBSCRIPTION], subscription=Subscription(message, _subscription_event(message)))
    elif kind == "UnsubscribeConfirmation":
        # Its link would subscribe again, so it is not offered.
        parsed = Parsed(ignored=[UNSUBSCRIBED])
    else:
        try:
            parsed = _read_notification(message, options, received_at, read_inner)
        except ParseError as error:
            parsed = Parsed(bad_items=[BadItem(error.faults, message)])
        parsed.endings.append(_confirmed_event(message))
    if not parsed.message_id and (message_id := text(message.get("MessageId"))):
        parsed.message_id = f"sns:{message_id}"
    return parsed


def is_raw(headers: Headers) -> bool:
    """Return True for raw message delivery: the body is the message, the envelope is in the headers."""
    return headers.get("x-amz-sns-rawdelivery", "").lower() == "true"


def reads_text(_text: str, headers: Headers) -> bool:
    return is_raw(headers)


def detect_raw(payload: Json, headers: Headers) -> bool:
    """Return True for a text body. JSON of a known tool is left to the parser of that tool."""
    return is_raw(headers) and not _may_be_tool_json(payload)


def parse_raw(
    payload: Json, headers: Headers, options: Options, received_at: datetime, *, read_inner: ReadInner
) -> Parsed:
    """Rebuild the envelope from the headers, which carry no subject, and parse it."""
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
    _refuse_deep_info(parsed)
    items: list[EventDraft | BadItem] = [*parsed.events, *parsed.bad_items]
    several = len(items) > 1
    # Before the loop: copying the envelope per event is the expensive part.
    check_split(len(items), len(message), "Message")
    room = MOST_BYTES
    for item in items:
        # The copies of the envelope count too: a small message must not become gigabytes.
        if several:
            left = json.dumps(item.raw_data)
            room -= len(left)
            if room < 0:
                raise too_much(
                    "Message",
                    f"makes {len(items)} events of more than {MOST_BYTES} bytes together",
                )
            item.raw_data = {**message, "Message": left}
        else:
            item.raw_data = message
    return parsed


def _json_of(written: Json) -> Json:
    """Return the message as JSON if a tool may have sent it, else None."""
    if not isinstance(written, str) or written.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        value = read_inner_json(written.encode("utf-8", "surrogatepass"), "Message")
    except ValueError:
        return None
    return value if _may_be_tool_json(value) else None


def _may_be_tool_json(value: Json) -> bool:
    """Return True for an object or a list that holds one: `42` and `[42]` are plain text."""
    return isinstance(value, dict) or bool(objects(value))


def _refuse_deep_info(parsed: Parsed) -> None:
    """Turn events whose additional_info is nested too deeply into bad items. The message is text and can be stored."""
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
        occurred_at=moment(message.get("Timestamp"), UTC),
    )
    return single(message, draft)


def _confirmed_event(message: dict[str, Any]) -> EventDraft:
    """Return the end of the topic's subscription event: a topic that delivers has been confirmed."""
    topic_arn = text(message.get("TopicArn"))
    return EventDraft(
        event_key=_subscription_key(topic_arn),
        event_type=EventType.RECOVERY,
        title=f"Amazon SNS topic {read_arn(topic_arn).resource or topic_arn} delivers",
        severity=Severity.INFO,
        resources=[topic_arn] if topic_arn else [],
        provider="aws",
        account=read_arn(topic_arn).account,
        raw_data=message,
        only_if_open=True,
    )


def _subscription_key(topic_arn: str) -> str:
    return joined_key("aws-sns-subscription", topic_arn)


def _subscription_event(message: dict[str, Any]) -> EventDraft:
    topic_arn = text(message.get("TopicArn"))
    topic = read_arn(topic_arn)
    link = text(message.get("SubscribeURL"))
    return EventDraft(
        event_key=_subscription_key(topic_arn),
        title=f"Amazon SNS topic {topic.resource or topic_arn} asks for confirmation of its subscription",
        description=f"Open this link once if the topic is yours: {link}",
        severity=Severity.INFO,
        resources=[topic_arn] if topic_arn else [],
        provider="aws",
        account=topic.account,
        additional_info=extra_fields(topic_arn=topic_arn, subscribe_url=link),
        occurred_at=moment(message.get("Timestamp"), UTC),
        raw_data=message,
    )
