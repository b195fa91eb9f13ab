"""Derive the key that recognises a repeated delivery, and the digest of its payload.

Source: "Idempotency" of the Event API's rules; docs/collectors.md.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from event_service.errors import InvalidArgument
from event_service.events.delivery import Delivery
from event_service.events.write_request import IdempotencyRequest
from event_service.normalize import Parsed

_LONGEST_IDEMPOTENCY_KEY = 1024  # characters


def checked_idempotency_key(given: str, path: str) -> str:
    """Return the sender's key without surrounding blanks; "" for none.

    Raises:
        InvalidArgument: the key is too long; `path` names the field.
    """
    key = given.strip()
    if len(key) > _LONGEST_IDEMPOTENCY_KEY:
        raise InvalidArgument.at(path, f"is longer than {_LONGEST_IDEMPOTENCY_KEY} characters")
    return key


def record_id_of(owner: str, key: str) -> str:
    """Return the id of an idempotency record: 64 hexadecimal digits.

    Args:
        owner: the key is unique within it; mostly a webhook_id.
    """
    # The length prefix keeps ("a", "bc") and ("ab", "c") apart.
    return hashlib.sha256(f"{len(owner)}:{owner}{key}".encode("utf-8", "surrogatepass")).hexdigest()


def idempotency_of(
    delivery: Delivery, webhook_id: str, parsed: Parsed, *, key_lifetime: timedelta, body_lifetime: timedelta
) -> IdempotencyRequest | None:
    """Return the idempotency record that a delivery needs, or None if sending it again makes another event.

    The sender's idempotency key comes first; with another payload it is refused. Next comes the message id of the
    payload's format: the same message, though not always the same bytes. Without both, an equal HTTP body that carries
    the sender's own timestamps is the same delivery. Native payloads and gRPC requests without a key never repeat.

    Args:
        key_lifetime: how long keys and message ids are remembered.
        body_lifetime: how long equal bodies count as one delivery; zero turns that off.
    """
    digest, lifetime = "", key_lifetime
    if delivery.idempotency_key:
        key = f"key:{delivery.idempotency_key}"
        digest = _digest(delivery.payload, 2 if delivery.is_large else 0)
    elif parsed.message_id:
        key = f"message:{parsed.message_id}"
    elif parsed.timestamped and delivery.raw_body is not None and body_lifetime:
        key, lifetime = f"body:{hashlib.sha256(_without(parsed.varying, delivery.raw_body)).hexdigest()}", body_lifetime
    else:
        return None
    return IdempotencyRequest(record_id_of(webhook_id, key), digest, delivery.received_at + lifetime)


def _without(field: str, body: bytes) -> bytes:
    """Return the JSON without the last member of that name and its text; whole for no field.

    The last one is the delivery's own: it follows the members of lists.
    """
    start = body.rfind(b'"%s":' % field.encode()) if field else -1
    found = _TEXT_MEMBER.match(body, start) if start >= 0 else None
    return body[:start] + body[found.end() :] if found else body


_TEXT_MEMBER = re.compile(rb'"\w+":\s*"(?:[^"\\]|\\.)*"')
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_MAY_HOLD_INTEGERS = frozenset({int, dict, list})


def _digest(payload: Any, levels: int) -> str:
    """Return the SHA-256 of the canonical JSON, in hexadecimal digits.

    Numbers count as doubles, because a Struct (gRPC) holds no integers: both transports give the same digest.

    Args:
        levels: how many levels are written member by member: `json` holds the GIL while it writes one.
    """
    digest = hashlib.sha256()
    for piece in _pieces(payload, levels):
        digest.update(piece.encode())
    return digest.hexdigest()


def _pieces(value: Any, levels: int) -> Iterator[str]:
    """Yield JSON with sorted keys and no blanks, in pieces."""
    if levels and value and isinstance(value, dict):
        before = "{"
        for name, member in sorted(value.items()):
            yield f"{before}{json.dumps(name)}:"
            yield from _pieces(member, levels - 1)
            before = ","
        yield "}"
    elif levels and value and isinstance(value, list):
        before = "["
        for member in value:
            yield before
            yield from _pieces(member, levels - 1)
            before = ","
        yield "]"
    else:
        yield _canonical(_with_doubles(value))


def _with_doubles(value: Any) -> Any:
    """Return the value with doubles for integers; the same object if it has none."""
    if type(value) is int:
        return float(value)
    if type(value) is list:
        return [_with_doubles(member) if type(member) in _MAY_HOLD_INTEGERS else member for member in value]
    changed: dict[str, Any] | None = None
    if type(value) is dict:
        for key, member in value.items():
            if type(member) in _MAY_HOLD_INTEGERS and (doubles := _with_doubles(member)) is not member:
                changed = changed or dict(value)
                changed[key] = doubles
    return value if changed is None else changed
