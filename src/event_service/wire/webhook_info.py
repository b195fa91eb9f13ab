"""Encode WebhookInfo. Webhooks are few and rarely read, so that protobuf's messages are fast enough."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from event_service._gen.spaceone.api.monitoring.v1 import webhook_pb2
from event_service.wire.nesting import PAYLOAD_LEVEL
from event_service.wire.struct_encode import encode_stored_struct
from event_service.wire.timestamps import format_timestamp

_INT32_MAX = 2**31 - 1
_TEXTS = (
    "webhook_id", "name", "access_key", "webhook_url", "domain_id", "workspace_id", "project_id",
)  # fmt: skip


def webhook_info(fields: Mapping[str, Any]) -> webhook_pb2.WebhookInfo:
    """Return a WebhookInfo message of its fields. Those that are missing or None stay unset.

    Args:
        fields: by WebhookInfo's names; `state` and `plugin_info.upgrade_mode` by the names of their enums. Unknown
            names are left out.
    """
    info = webhook_pb2.WebhookInfo()
    for name in _TEXTS:
        if fields.get(name) is not None:
            setattr(info, name, fields[name])
    if fields.get("state") in webhook_pb2.WebhookInfo.WebhookState.keys():  # noqa: SIM118 - not a dict
        info.state = webhook_pb2.WebhookInfo.WebhookState.Value(fields["state"])
    for name, message in (("capability", info.capability), ("tags", info.tags)):
        if fields.get(name) is not None:
            message.SetInParent()
            message.MergeFromString(encode_stored_struct(fields[name]))
    if fields.get("plugin_info") is not None:
        _set_plugin(info.plugin_info, fields["plugin_info"])
    if fields.get("requests") is not None:
        info.requests.SetInParent()
        info.requests.total = fields["requests"].get("total", 0)
        info.requests.error = fields["requests"].get("error", 0)
    if isinstance(created_at := fields.get("created_at"), datetime):
        info.created_at = format_timestamp(created_at)
    return info


def encode_webhooks_info(rows: Iterable[Mapping[str, Any]], total_count: int) -> bytes:
    """Return the serialised WebhooksInfo; total_count is capped at 2^31-1."""
    return webhook_pb2.WebhooksInfo(
        results=map(webhook_info, rows), total_count=min(total_count, _INT32_MAX)
    ).SerializeToString()


def _set_plugin(message: webhook_pb2.WebhookPluginInfo, fields: Mapping[str, Any]) -> None:
    message.SetInParent()
    for name in ("plugin_id", "version"):
        if fields.get(name) is not None:
            setattr(message, name, fields[name])
    for name, struct in (("options", message.options), ("metadata", message.metadata)):
        if fields.get(name) is not None:
            struct.SetInParent()
            struct.MergeFromString(encode_stored_struct(fields[name], level=PAYLOAD_LEVEL + 1))
    if fields.get("upgrade_mode") in webhook_pb2.WebhookPluginInfo.UpgradeMode.keys():  # noqa: SIM118 - not a dict
        message.upgrade_mode = webhook_pb2.WebhookPluginInfo.UpgradeMode.Value(fields["upgrade_mode"])
