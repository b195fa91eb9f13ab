"""A webhook: the address a monitoring tool delivers to, and the parser of its payload."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from event_service.model.activity import Activity

LONGEST_DUPLICATE_TIME = 315_360_000
"""Maximum of the option duplicate_event_time, in seconds: ten years; added to a date it does not overflow."""

AUTO_RESOLVE = "auto_resolve_hours"
"""The option of a webhook after which an open alert without events is resolved; 0 = never."""

LONGEST_AUTO_RESOLVE_HOURS = 87_600
"""Maximum of that option: ten years."""


_SECRET_NAME = re.compile(r"secret|passw(?:or)?d|token|api_?key|credential|private_?key", re.IGNORECASE)


def is_secret_name(option: str) -> bool:
    """Return True for names of options that hold a secret."""
    return bool(_SECRET_NAME.search(option))


class WebhookState(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


@dataclass(slots=True)
class PluginInfo:
    """The parser of the payload: a built-in name (`native`, `alertmanager`, ...) or a remote plugin's id.

    Attributes:
        options: per-webhook settings, e.g. duplicate_event_time (s), auto_recovery (bool), endpoint (grpc://host:port).
        metadata: the reply of a remote plugin's `init`; {} for a built-in parser.
        upgrade_mode: NONE, MANUAL or AUTO, of a remote plugin.
    """

    plugin_id: str
    version: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    upgrade_mode: str = "NONE"


@dataclass(slots=True)
class Webhook:
    """A webhook as stored, without the access key itself.

    Attributes:
        key_hashes: SHA-256 (hex) of each access key, newest first: one, or two after a rotation with an overlap.
        previous_key_expires_at: after a rotation, when all but the first of `key_hashes` expire.
        encrypted_keys: the access keys under AES-GCM, in the order of `key_hashes`, only for webhooks whose key signs
            requests (Cloud Eye).
        capability: upstream's record of the plugin; {} for webhooks of this service.
        is_ours: created by this service, so upstream has stored no event of it.
        requests_total, requests_error: authenticated calls, and those whose payload could not be parsed.
        activity: statistics of its deliveries.
    """

    webhook_id: str
    name: str
    domain_id: str
    workspace_id: str
    project_id: str
    plugin: PluginInfo
    created_at: datetime
    state: WebhookState = WebhookState.ENABLED
    key_hashes: list[str] = field(default_factory=list)
    previous_key_expires_at: datetime | None = None
    encrypted_keys: list[bytes] = field(default_factory=list)
    tags: dict[str, Any] = field(default_factory=dict)
    capability: dict[str, Any] = field(default_factory=dict)
    is_ours: bool = False
    requests_total: int = 0
    requests_error: int = 0
    activity: Activity = field(default_factory=Activity)

    def valid_keys(self, now: datetime) -> int:
        """Return how many of `key_hashes` (and of `encrypted_keys`), from the first, are valid at `now` (aware UTC)."""
        if self.previous_key_expires_at is not None and now < self.previous_key_expires_at:
            return len(self.key_hashes)
        return min(1, len(self.key_hashes))


def access_key_hash(access_key: str) -> str:
    """Return the SHA-256 of an access key, 64 hexadecimal digits.

    A plain digest is enough: keys are 256 random bits, out of reach of a dictionary attack.
    """
    return hashlib.sha256(access_key.encode("utf-8", "surrogatepass")).hexdigest()
