"""CloudEvents 1.0 over HTTP: structured, binary (attributes in `ce-` headers) and batch.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md and
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, first_line, joined_key, mapping, read_inner_json, text, texts
from event_service.normalize.generic import ACKNOWLEDGED, DESCRIPTIONS, IMAGES, LINKS, RULES, TITLES, NamedFields
from event_service.normalize.result import (
    Fault,
    Headers,
    Json,
    Options,
    Parsed,
    ParseError,
    media_type,
    object_of,
    raw_object,
)
from event_service.normalize.severities import State, bare_title, named_state, recovery_severity, state_in_title
from event_service.normalize.splitting import check_split, every_member, single
from event_service.normalize.timestamps import moment

_REQUIRED = ("source", "type")
_BINARY_PREFIX = "ce-"
_STRUCTURED = "application/cloudevents"

BYTES = "data_base64"
"""The attribute of data that is not text; in binary mode the payload is then an object of it only."""

UNPRINTABLE = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""Bytes that data of text does not have."""


def is_binary(headers: Headers) -> bool:
    """Return True if the headers carry the attributes. The body is then the data, of any type, and may be empty.

    Structured events may repeat their attributes in headers: the content type decides.
    """
    return "ce-specversion" in headers and not media_type(headers).startswith(_STRUCTURED)


def detect(payload: Json, headers: Headers) -> bool:
    if is_binary(headers) or media_type(headers).startswith(_STRUCTURED):
        return True
    return every_member(payload, lambda item: "specversion" in item and "type" in item and "source" in item)


def parse(payload: Json, headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return one event, or one per member of a batch. Binary events are stored in structured form."""
    if is_binary(headers) or not isinstance(payload, list):
        event = _from_binary(payload, headers) if is_binary(headers) else object_of(payload)
        parsed = single(event, _read(event, "", options))
        parsed.message_id = _delivery_id(event)
        return parsed
    check_split(len(payload), 1, "")
    parsed = Parsed()
    for index, member in enumerate(payload):
        parsed.add(raw_object(member), _read, member, f"[{index}]", options)
    ids = [_delivery_id(mapping(member)) for member in payload]
    # Without all ids a batch cannot be recognised when it is sent again.
    if all(ids):
        parsed.message_id = "cloudevents:" + joined_key(*ids)
    return parsed


def _from_binary(payload: Json, headers: Headers) -> dict[str, Any]:
    """Return the structured form: percent-decoded attributes of the headers, and the body as data."""
    attributes: dict[str, Any] = {
        name.removeprefix(_BINARY_PREFIX): unquote(value)
        for name, value in headers.items()
        if name.startswith(_BINARY_PREFIX)
    }
    if content_type := headers.get("content-type"):
        attributes["datacontenttype"] = content_type
    if isinstance(payload, dict) and payload.keys() == {BYTES}:
        return {**attributes, **payload}
    return attributes if payload is None else {**attributes, "data": payload}


def _delivery_id(event: Mapping[str, Any]) -> str:
    """Return an id that is the same when an event is sent again: source and id are unique together."""
    event_id = text(event.get("id"))
    return "cloudevents:" + joined_key(text(event.get("source")), event_id) if event_id else ""


def _read(member: Json, path: str, options: Options) -> EventDraft | str:
    event = object_of(member, path)
    prefix = f"{path}." if path else ""
    faults = [Fault(prefix + name, "must be given") for name in _REQUIRED if not text(event.get(name))]
    if faults:
        raise ParseError(faults)
    source, full_type, subject = (text(event.get(name)) for name in ("source", "type", "subject"))
    kind, type_state = _split_type(full_type)
    data = _data_of(event, prefix)
    named = NamedFields.of(mapping(data))
    title = named.first(TITLES) or first_line(text(data))
    state = named.state() or type_state or named_state(state_in_title(title)) or State.FIRING
    if state is State.ACKNOWLEDGED:
        return ACKNOWLEDGED
    severity, remark = named.severity(options)
    description = named.first(DESCRIPTIONS) or text(data)
    return EventDraft(
        event_key=joined_key("cloudevents", source, kind, subject),
        event_type=state.event_type,
        title=bare_title(title) or kind,
        description="" if description == title else description,
        severity=recovery_severity(severity, state.event_type, Severity.INFO),
        rule=named.first(RULES),
        image_url=named.first(IMAGES),
        resources=texts(subject) or named.resources(),
        additional_info=extra_fields(
            source=source, type=full_type, subject=subject, id=event.get("id"), url=named.first(LINKS)
        ),
        occurred_at=moment(event.get("time"), UTC),
        remark=remark,
    )


def _split_type(full_type: str) -> tuple[str, State | None]:
    """Split `com.example.alert.resolved` into `com.example.alert` and RESOLVED. The suffix is a convention only."""
    kind, dot, suffix = full_type.rpartition(".")
    state = named_state(suffix) if dot and suffix.lower() not in _NOT_A_STATE else None
    return (kind, state) if state is not None else (full_type, None)


# States in a status field, but more likely the subject in a type.
_NOT_A_STATE = frozenset({"alert", "incident", "problem", "alarm", "error", "warning", "critical"})


def _data_of(event: Mapping[str, Any], prefix: str) -> Json:
    """Return `data`, or the decoded `data_base64`, parsed if it is JSON.

    Raises:
        ParseError: JSON that cannot be stored.
    """
    if event.get("data") is not None:
        return event["data"]
    encoded = event.get(BYTES)
    if not isinstance(encoded, str):
        return None
    try:
        content = base64.b64decode(encoded, validate=True)
        decoded = content.decode()
    except (binascii.Error, ValueError):
        return None  # binary data stays in raw_data only
    try:
        return read_inner_json(content, f"{prefix}{BYTES}")
    except ValueError:
        return None if UNPRINTABLE.search(content) else decoded  # plain text
