"""Hash PagerDuty's routing and service keys, which are credentials, wherever they occur in a payload.

Source: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
and https://developer.pagerduty.com/docs/events-api-v1/trigger-events/
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from event_service.normalize.fields import mapping, text
from event_service.normalize.result import Json
from event_service.wire.nesting import MAX_LEVEL

_MASK = "sha256:"
# Names that PagerDuty's events have beside the key: events v2, change events, events v1.
_KEYS = {"routing_key": ("event_action", "summary"), "service_key": ("event_type",)}
# Pub/Sub has a `subscription` beside its base64. A NUL: the names are in UTF-16.
_IN_WIRE = (b"routing_key", b"service_key", b"data_base64", b"subscription", b"\0")
# Matches JSON inside text; the quotes may be escaped once per level of JSON around it.
_key_in_text = re.compile(r'(?<=routing_key|service_key)(\\*"\s*:\s*\\*")([^"\\]+)')
_base64_in_text = re.compile(r'(?<=data_base64)(\\*"\s*:\s*\\*")([^"\\]+)')


def without_routing_keys(payload: Json, wire: bytes | None = None) -> Json:
    """Return the payload with the keys of all Events APIs hashed, also inside JSON text and base64.

    Args:
        wire: the payload's bytes, if known: a quick search in them avoids the walk.

    Returns:
        The payload itself if it has no routing key. A hashed key, as in a replay, is not hashed again.
    """
    if wire is None or any(name in wire for name in _IN_WIRE):
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
    if name in _KEYS and any(other in item or other in mapping(item.get("payload")) for other in _KEYS[name]):
        return _hashed(text(member)) or member
    if name in ("data_base64", "data") and isinstance(member, str):
        masked = _mask_base64(member)
        return masked if masked is not member else _mask_text(member)
    return _masked(member, level)


def _mask_text(written: str) -> str:
    masked = written
    if any(name in written and any(other in written for other in others) for name, others in _KEYS.items()):
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
