"""Hash PagerDuty's routing keys, which are credentials, wherever they occur in a payload.

Source: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from event_service.normalize.fields import text
from event_service.normalize.result import Json
from event_service.wire.nesting import MAX_LEVEL

_MASK = "sha256:"
# Matches JSON inside text; the quotes may be escaped once per level of JSON around it.
_key_in_text = re.compile(r'(?<=routing_key)(\\*"\s*:\s*\\*")([^"\\]+)')
_base64_in_text = re.compile(r'(?<=data_base64)(\\*"\s*:\s*\\*")([^"\\]+)')


def without_routing_keys(payload: Json, wire: bytes | None = None) -> Json:
    """Return the payload with the routing keys of Events API v2 hashed, also inside JSON text and base64.

    Args:
        wire: the payload's bytes, if known: a quick search in them avoids the walk.

    Returns:
        The payload itself if it has no routing key. A hashed key, as in a replay, is not hashed again.
    """
    if wire is None or b"routing_key" in wire or b"data_base64" in wire:
        return _masked(payload, 0)
    return payload


def _masked(value: Json, level: int) -> Json:
    if isinstance(value, str):
        return _mask_text(value)
    if level > MAX_LEVEL:  # deeper payloads are never stored
        return value
    if isinstance(value, dict):
        members = {name: _member_of(value, name, level + 1) for name in value}
        return members if any(members[name] is not value[name] for name in value) else value
    if isinstance(value, list):
        masked = [_masked(member, level + 1) for member in value]
        return masked if any(one is not other for one, other in zip(masked, value, strict=True)) else value
    return value


def _member_of(item: Mapping[str, Any], name: str, level: int) -> Json:
    member = item[name]
    if name == "routing_key" and "event_action" in item:
        return _hashed(text(member)) or member
    if name == "data_base64" and isinstance(member, str):
        return _mask_base64(member)
    return _masked(member, level)


def _mask_text(written: str) -> str:
    masked = written
    if "routing_key" in written and "event_action" in written:
        masked = _key_in_text.sub(lambda found: found[1] + _hashed(found[2].strip()), masked)
    if "data_base64" in written:
        masked = _base64_in_text.sub(lambda found: found[1] + _mask_base64(found[2]), masked)
    return written if masked == written else masked


def _mask_base64(encoded: str) -> str:
    try:
        content = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return encoded
    masked = _mask_text(content)
    return encoded if masked is content else base64.b64encode(masked.encode()).decode()


def _hashed(routing_key: str) -> str:
    if not routing_key or routing_key.startswith(_MASK):
        return routing_key
    return _MASK + hashlib.sha256(routing_key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
