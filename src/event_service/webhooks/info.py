"""Conversion of webhooks to the fields of WebhookInfo, with key and secrets masked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from event_service.model.webhook import Webhook
from event_service.store.webhook_reader import WebhookPage
from event_service.webhooks.encrypted_options import masked
from event_service.webhooks.keys import MASK, delivery_path


@dataclass(frozen=True, slots=True)
class InfoPage:
    """One page of a list.

    Attributes:
        rows: fields of WebhookInfo; only the selected ones.
        total_count: number of all matches.
        cut: the server's limit ended the page, not the caller's.
    """

    rows: list[dict[str, Any]]
    total_count: int
    cut: bool = False


def webhook_fields(webhook: Webhook, base_url: str, access_key: str = MASK) -> dict[str, Any]:
    """Return all fields of WebhookInfo.

    Args:
        base_url: public URL of the HTTP server.
        access_key: in clear after create and rotate, else omitted.
    """
    return {
        "webhook_id": webhook.webhook_id,
        "name": webhook.name,
        "state": webhook.state.value,
        "access_key": access_key,
        "webhook_url": base_url + delivery_path(webhook.webhook_id, access_key),
        "capability": webhook.capability,
        "plugin_info": {
            "plugin_id": webhook.plugin.plugin_id,
            "version": webhook.plugin.version,
            "options": masked(webhook.plugin.options),
            "metadata": webhook.plugin.metadata,
            "upgrade_mode": webhook.plugin.upgrade_mode,
        },
        "tags": webhook.tags,
        "requests": {"total": webhook.requests_total, "error": webhook.requests_error},
        "domain_id": webhook.domain_id,
        "workspace_id": webhook.workspace_id,
        "project_id": webhook.project_id,
        "created_at": webhook.created_at,
    }


def info_page(page: WebhookPage, base_url: str) -> InfoPage:
    """Convert a page of the store."""
    rows = [webhook_fields(webhook, base_url) for webhook in page.webhooks]
    for webhook_id, fields in page.selected:
        if "webhook_url" in fields:
            fields["webhook_url"] = base_url + delivery_path(webhook_id)
        plugin_info = fields.get("plugin_info")
        if isinstance(plugin_info, Mapping) and isinstance(options := plugin_info.get("options"), Mapping):
            fields["plugin_info"] = {**plugin_info, "options": masked(options)}
        rows.append(fields)
    return InfoPage(rows, page.total_count, page.cut)
