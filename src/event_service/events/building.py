"""From a parser's draft to a finished, serialised event that is ready to be stored."""

import secrets
from datetime import datetime
from typing import NamedTuple

from event_service.model.event import Event, EventDraft
from event_service.model.webhook import Webhook
from event_service.wire.event_info import check_size, encode_event


class BuiltEvent(NamedTuple):
    """An event and its EventInfo bytes, both still without the alert."""

    event: Event
    wire: bytes


def new_event_id() -> str:
    """`event-` and 12 random hexadecimal digits, upstream's shape."""
    return f"event-{secrets.token_hex(6)}"


def build(
    draft: EventDraft, webhook: Webhook, received_at: datetime, max_event_bytes: int, *, path: str = "data"
) -> BuiltEvent:
    """Gives a draft its identity and scope and serialises it.

    Args:
        path: what the sender knows the payload as.

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
    wire = encode_event(event)
    check_size(wire, max_event_bytes, path=path)
    return BuiltEvent(event, wire)
