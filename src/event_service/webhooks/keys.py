"""Access keys: made once, shown once, kept as a digest, compared in constant time."""

import hmac
import secrets
from datetime import datetime

from event_service.model.webhook import Webhook, access_key_hash

KEY_BYTES = 32

# Shown instead of every key. Nothing of the key is known any more, and so nothing of it is shown.
MASK = "*" * 12


def new_access_key() -> str:
    """A new key: 256 random bits as 64 hexadecimal digits, which need no escaping in a URL."""
    return secrets.token_hex(KEY_BYTES)


def is_key_of(webhook: Webhook, access_key: str, now: datetime) -> bool:
    """Whether `access_key` opens `webhook` at `now` (aware UTC).

    As many comparisons are made as the webhook has valid keys, each in constant time.
    """
    given = access_key_hash(access_key)
    matches = [hmac.compare_digest(given, known) for known in webhook.key_hashes[: webhook.valid_keys(now)]]
    return any(matches)


def delivery_path(webhook_id: str, access_key: str = MASK) -> str:
    """The path of the webhook's URL. Source: upstream's REST route."""
    return f"/monitoring/v1/webhook/{webhook_id}/{access_key}/events"
