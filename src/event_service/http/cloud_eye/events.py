"""One reported event: its identity, its Cloud Eye id, and the event it is stored as.

Source: "Reporting Events" of the Cloud Eye API reference; the identity of an event: the SDK's documentation of
CreateEvents.
"""

import hashlib
import json
import os
import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from event_service.model.event import EventDraft
from event_service.normalize.cloud_eye import event_of_item

CUSTOM_EVENT = "EVENT.CUSTOM"
CUSTOM_SUB_EVENT = "SUB_EVENT.CUSTOM"
EVENT_ID = "ces_event_id"

_TAIL_ALPHABET = string.digits + string.ascii_letters
_TAIL_LENGTH = 9
_compact = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would create an encoder for each event
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Item = Mapping[str, Any]  # a valid EventItem


def milliseconds_of(moment: datetime) -> int:
    """Convert a timezone-aware datetime to milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def moment_of(milliseconds: int) -> datetime:
    """Convert milliseconds since 1970 to a datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def occurrence(item: Item, project_id: str) -> str:
    """Return the identity of an event: 64 hexadecimal digits, equal for two reports of the same event.

    Content, group and dimensions do not count; a missing field counts as its default.
    """
    detail = item["detail"]
    parts = [
        project_id,
        item["time"],
        item["event_source"],
        item["event_name"],
        detail.get("event_type") or CUSTOM_EVENT,
        detail.get("sub_event_type") or CUSTOM_SUB_EVENT,
        detail.get("event_state") or "",
        detail.get("event_level") or "",
        detail.get("event_user") or "",
        detail.get("resource_id") or "",
        detail.get("resource_name") or "",
    ]
    return hashlib.sha256(_compact(parts).encode()).hexdigest()


def new_event_id(received_at: datetime) -> str:
    """Return a new Cloud Eye event id: `ev`, 13 digits (ms of receipt), 9 random letters and digits."""
    number = int.from_bytes(os.urandom(9))
    tail = ""
    for _ in range(_TAIL_LENGTH):
        number, position = divmod(number, len(_TAIL_ALPHABET))
        tail += _TAIL_ALPHABET[position]
    return f"ev{milliseconds_of(received_at):013d}{tail}"


def draft_of(item: Item, project_id: str, event_id: str) -> EventDraft:
    """Return the event to store for an item; `additional_info` carries its Cloud Eye id."""
    draft = event_of_item(item, project_id)
    detail = item["detail"]
    draft.additional_info["event_type"] = detail.get("event_type") or CUSTOM_EVENT
    draft.additional_info["sub_event_type"] = detail.get("sub_event_type") or CUSTOM_SUB_EVENT
    draft.additional_info[EVENT_ID] = event_id
    return draft
