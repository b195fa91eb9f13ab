"""From a parser's draft to a finished, serialised event that is ready to be stored."""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from event_service.model.event import Event, EventDraft
from event_service.model.webhook import Webhook
from event_service.wire.event_info import check_size, encode_event
from event_service.wire.struct import encode_struct


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


def build_all(
    drafts: Sequence[EventDraft], webhook: Webhook, received_at: datetime, max_event_bytes: int, path: str = "data"
) -> list[BuiltEvent]:
    """`build` for all events of a delivery; what their raw data have in common is serialised once.

    Raises:
        InvalidArgument, TooLarge: as `build`, for the first of them.
    """
    if len(drafts) > 1:
        _serialise_raw_data(drafts)
    return [build(draft, webhook, received_at, max_event_bytes, path=path) for draft in drafts]


def _serialise_raw_data(drafts: Iterable[EventDraft]) -> None:
    """Gives each draft its raw_wire.

    Of a payload with a thousand members each event keeps one, and all keep what is around them: the very same objects.
    A serialised Struct is its fields one after the other, so each of them is written once.
    """
    written: dict[tuple[str, int], bytes] = {}
    for draft in drafts:
        if draft.raw_wire is not None:
            continue
        parts: list[bytes] = []
        for name, value in draft.raw_data.items():
            field = (name, id(value))
            wire = written.get(field)
            if wire is None:
                wire = written[field] = encode_struct({name: value}, path="raw_data")
            parts.append(wire)
        draft.raw_wire = b"".join(parts)
