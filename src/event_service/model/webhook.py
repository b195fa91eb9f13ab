"""A webhook: where a monitoring tool delivers, and how its payload is to be read."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class WebhookState(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"


@dataclass(slots=True)
class PluginInfo:
    """Which parser reads the payload: a built-in name (`native`, `alertmanager`, ...) or a remote plugin's id.

    Attributes:
        options: per-webhook settings, e.g. duplicate_event_time (s), auto_recovery (bool), endpoint (grpc://host:port).
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
        key_hashes: SHA-256 (hex) of each access key that is valid now, newest first.
        previous_key_expires_at: until when all but the first of `key_hashes` hold, after a rotation.
        sealed_key: the access key under AES-GCM, only for webhooks whose key signs requests (Cloud Eye).
        requests_total, requests_error: authenticated calls, and those whose payload could not be parsed.
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
    sealed_key: bytes | None = None
    tags: dict[str, Any] = field(default_factory=dict)
    requests_total: int = 0
    requests_error: int = 0
