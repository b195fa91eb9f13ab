"""From a parser's draft to a finished, serialised event that is ready to be stored."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from event_service.model.event import Event, EventDraft
from event_service.model.webhook import Webhook
from event_service.wire.event_info import check_readable, encode_event_info


@dataclass(frozen=True, slots=True)
class BuiltEvent:
    """An event and its EventInfo bytes, both still without the alert."""

    event: Event
    wire: bytes


def new_event_id() -> str:
    """`event-` and 12 random hexadecimal digits, upstream's shape."""
    return f"event-{secrets.token_hex(6)}"


def build(draft: EventDraft, webhook: Webhook, received_at: datetime, max_event_bytes: int) -> BuiltEvent:
    """Gives a draft its identity and scope and serialises it.

    Raises:
        InvalidArgument: stored like this, it could not be read back inside a list (depth, NaN).
        TooLarge: its EventInfo is over `max_event_bytes`.
    """
    event = Event(
        event_id=new_event_id(),
        draft=draft,
        domain_id=webhook.domain_id,
        workspace_id=webhook.workspace_id,
        project_id=webhook.project_id,
        webhook_id=webhook.webhook_id,
        created_at=received_at,
    )
    wire = encode(event)
    check_readable(wire, max_event_bytes)
    return BuiltEvent(event, wire)


def encode(event: Event) -> bytes:
    """The EventInfo of an event, without alert_id: that is appended when the alert is known."""
    draft = event.draft
    fields: dict[str, Any] = {
        "event_id": event.event_id,
        "event_key": draft.event_key,
        "event_type": draft.event_type.value,
        "title": draft.title,
        "description": draft.description,
        "severity": draft.severity.value,
        "rule": draft.rule,
        "image_url": draft.image_url,
        "resources": draft.resources,
        "provider": draft.provider,
        "account": draft.account,
        "additional_info": draft.additional_info,
        "raw_data": draft.raw_data,
        "domain_id": event.domain_id,
        "workspace_id": event.workspace_id,
        "project_id": event.project_id,
        "webhook_id": event.webhook_id,
        "created_at": event.created_at,
        "occurred_at": draft.occurred_at,
    }
    return encode_event_info(fields, raw_wire=draft.raw_wire)
