"""Access keys: generated once, shown once, stored as a digest, compared in constant time."""

import hmac
import secrets
from datetime import datetime

from event_service.model.webhook import Webhook, access_key_hash

KEY_BYTES = 32

# Shown instead of a key. Only its digest is stored, so not even a part can be shown.
MASK = "*" * 12


def new_access_key() -> str:
    """Return 256 random bits as 64 hexadecimal digits, which need no escaping in a URL."""
    return secrets.token_hex(KEY_BYTES)


def is_key_of(webhook: Webhook, access_key: str, now: datetime) -> bool:
    """Return True if `access_key` is valid for `webhook` at `now` (aware UTC).

    Compares with each valid key in constant time, even after a match.
    """
    given = access_key_hash(access_key)
    matches = [hmac.compare_digest(given, known) for known in webhook.key_hashes[: webhook.valid_keys(now)]]
    return any(matches)  # not on a generator: it would stop at the first match


def delivery_path(webhook_id: str, access_key: str = MASK) -> str:
    """Return the path of the webhook's URL. Source: upstream's REST route."""
    return f"/monitoring/v1/webhook/{webhook_id}/{access_key}/events"
