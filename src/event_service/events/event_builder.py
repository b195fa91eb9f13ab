"""Build serialised events from the drafts of a parser."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from event_service.errors import TooLarge
from event_service.model.event import Event, EventDraft
from event_service.model.webhook import Webhook
from event_service.normalize import Parsed, build_parse_error_event
from event_service.normalize.result import MOST_BYTES
from event_service.wire.event_info import check_size, encode_event
from event_service.wire.struct_encode import encode_struct


class EncodedEvent(NamedTuple):
    """An event and its EventInfo bytes, both without the alert."""

    event: Event
    wire: bytes


class BatchTooLarge(TooLarge):
    """The events of one delivery are larger than MOST_BYTES together."""


def new_event_id() -> str:
    """Return `event-` and 12 random hexadecimal digits, as upstream does."""
    return f"event-{secrets.token_hex(6)}"


def build(
    draft: EventDraft, webhook: Webhook, received_at: datetime, max_event_bytes: int, *, path: str = "data"
) -> EncodedEvent:
    """Give a draft its id and scope and serialise it.

    Args:
        path: the field name of the payload in errors.

    Raises:
        InvalidArgument: a list could not return it: nested too deeply, or NaN.
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
    return EncodedEvent(event, wire)


def build_all(
    drafts: Sequence[EventDraft], webhook: Webhook, received_at: datetime, max_event_bytes: int, path: str = "data"
) -> list[EncodedEvent]:
    """Build all events of a delivery; the fields that their raw data share are serialised once.

    Raises:
        InvalidArgument, TooLarge: as `build`, for the first of them.
        BatchTooLarge: the events are too large together.
    """
    if len(drafts) == 1:
        return [build(drafts[0], webhook, received_at, max_event_bytes, path=path)]
    built = []
    written: dict[tuple[str, int], bytes] = {}
    room = MOST_BYTES
    for draft in drafts:
        if draft.raw_wire is None:
            draft.raw_wire = _raw_wire(draft, written)
        one = build(draft, webhook, received_at, max_event_bytes, path=path)
        room -= len(one.wire)
        if room < 0:
            raise BatchTooLarge(
                f"{path}: {len(drafts)} events are over the limit of {MOST_BYTES} bytes; send it in parts"
            )
        built.append(one)
    return built


def all_drafts(parsed: Parsed, webhook: Webhook) -> list[EventDraft]:
    """Return the events of a payload, then the ERROR events of its unreadable members, then its endings."""
    errors = [
        build_parse_error_event(item, webhook_id=webhook.webhook_id, webhook_name=webhook.name)
        for item in parsed.bad_items
    ]
    return parsed.events + errors + parsed.endings


def _raw_wire(draft: EventDraft, written: dict[tuple[str, int], bytes]) -> bytes:
    """Serialise the draft's raw_data.

    Each event of a payload with many members keeps one member, and all keep the same objects around it. A serialised
    Struct is the concatenation of its fields, so each field is serialised once.

    Args:
        written: serialised fields by name and identity of the value.
    """
    parts: list[bytes] = []
    for name, value in draft.raw_data.items():
        field = (name, id(value))
        wire = written.get(field)
        if wire is None:
            wire = written[field] = encode_struct({name: value}, path="raw_data")
        parts.append(wire)
    return b"".join(parts)
