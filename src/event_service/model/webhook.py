"""A webhook: where a monitoring tool delivers, and how its payload is to be read."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from event_service.model.activity import Activity

LONGEST_DUPLICATE_TIME = 315_360_000
"""Seconds an option duplicate_event_time may be: ten years, more than any alert is open, less than what overflows
when it is added to a date."""


class WebhookState(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


@dataclass(slots=True)
class PluginInfo:
    """Which parser reads the payload: a built-in name (`native`, `alertmanager`, ...) or a remote plugin's id.

    Attributes:
        options: per-webhook settings, e.g. duplicate_event_time (s), auto_recovery (bool), endpoint (grpc://host:port).
        metadata: what a remote plugin's `init` answered; {} for a built-in parser.
        upgrade_mode: NONE, MANUAL or AUTO: whether a remote plugin may be replaced by a newer version.
    """

    plugin_id: str
    version: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    upgrade_mode: str = "NONE"


@dataclass(slots=True)
class Webhook:
    """A webhook as stored; the access key itself is not in it.

    Attributes:
        key_hashes: SHA-256 (hex) of each access key, newest first: one, or two after a rotation with an overlap.
        previous_key_expires_at: until when all but the first of `key_hashes` hold, after a rotation.
        encrypted_keys: the access keys under AES-GCM, in the order of `key_hashes`, only for webhooks whose key signs
            requests (Cloud Eye).
        capability: what upstream noted of the plugin; {} for our own webhooks.
        is_ours: this service made it, not upstream, which therefore has never stored an event of it.
        requests_total, requests_error: authenticated calls, and those whose payload could not be parsed.
        activity: what became of them.
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
        """How many of `key_hashes` (and of `encrypted_keys`), counted from the first, hold at `now` (aware UTC)."""
        if self.previous_key_expires_at is not None and now < self.previous_key_expires_at:
            return len(self.key_hashes)
        return min(1, len(self.key_hashes))


def access_key_hash(access_key: str) -> str:
    """What is stored of an access key: its SHA-256, 64 hexadecimal digits.

    A plain digest is enough: the keys are 256 random bits, so that no dictionary holds them.
    """
    return hashlib.sha256(access_key.encode("utf-8", "surrogatepass")).hexdigest()
