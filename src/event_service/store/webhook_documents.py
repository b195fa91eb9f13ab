"""Webhooks as documents: upstream's fields, digests instead of its access key in clear, and delivery counts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import Binary

from event_service.model.activity import Activity, DeliveryCounts
from event_service.model.webhook import PluginInfo, Webhook, WebhookState, access_key_hash
from event_service.store.client import Document
from event_service.store.documents import stored_object, unescape_keys

CLEAR_KEYS = ("access_key", "webhook_url")
"""Fields of upstream documents that hold the access key in clear."""

_IS_OURS = "made_by_event_service"
_SUMS = ("stored", "errors", "duplicates", "unmatched", "refused")


def webhook_document(webhook: Webhook) -> Document:
    """Return the document of a webhook, without the access key and without the URL, which contains the key."""
    return {
        "webhook_id": webhook.webhook_id,
        "name": webhook.name,
        "state": webhook.state.value,
        "capability": stored_object(webhook.capability),
        "plugin_info": stored_object(
            {
                "plugin_id": webhook.plugin.plugin_id,
                "version": webhook.plugin.version,
                "options": webhook.plugin.options,
                "metadata": webhook.plugin.metadata,
                "upgrade_mode": webhook.plugin.upgrade_mode,
            }
        ),
        "tags": stored_object(webhook.tags),
        "requests": {"error": webhook.requests_error, "total": webhook.requests_total},
        "project_id": webhook.project_id,
        "workspace_id": webhook.workspace_id,
        "domain_id": webhook.domain_id,
        "created_at": webhook.created_at,
        _IS_OURS: webhook.is_ours,
        **key_fields(webhook),
    }


def webhook_of(row: Mapping[str, Any]) -> Webhook:
    """Return the webhook of a document. Fields that are missing or null, as in upstream documents, get defaults."""
    plugin = _object(row.get("plugin_info"))
    requests = _object(row.get("requests"))
    hashes = row.get("access_key_hashes")
    if not hashes:  # an upstream document
        hashes = [access_key_hash(str(row["access_key"]))] if row.get("access_key") else []
    return Webhook(
        webhook_id=_text(row, "webhook_id"),
        name=_text(row, "name"),
        domain_id=_text(row, "domain_id"),
        workspace_id=_text(row, "workspace_id"),
        project_id=_text(row, "project_id"),
        plugin=PluginInfo(
            plugin_id=_text(plugin, "plugin_id"),
            version=_text(plugin, "version"),
            options=unescape_keys(_object(plugin.get("options"))),
            metadata=unescape_keys(_object(plugin.get("metadata"))),
            upgrade_mode=_text(plugin, "upgrade_mode") or "NONE",
        ),
        created_at=row.get("created_at") or datetime.fromtimestamp(0, UTC),
        state=WebhookState.DISABLED if row.get("state") == WebhookState.DISABLED else WebhookState.ENABLED,
        key_hashes=[str(one) for one in hashes],
        previous_key_expires_at=row.get("previous_key_expires_at"),
        encrypted_keys=[bytes(one) for one in row.get("encrypted_keys") or ()],
        tags=unescape_keys(_object(row.get("tags"))),
        capability=unescape_keys(_object(row.get("capability"))),
        is_ours=row.get(_IS_OURS) is True,
        requests_total=int(requests.get("total") or 0),
        requests_error=int(requests.get("error") or 0),
        activity=activity_of(_object(row.get("activity"))),
    )


def without_clear_keys(row: Document) -> Document:
    """Return the document with a digest instead of the access key and the URL that contains it."""
    hashed = {name: value for name, value in row.items() if name not in CLEAR_KEYS}
    if row.get("access_key") and not row.get("access_key_hashes"):
        hashed["access_key_hashes"] = [access_key_hash(str(row["access_key"]))]
    return hashed


def key_fields(webhook: Webhook) -> Document:
    return {
        "access_key_hashes": list(webhook.key_hashes),
        "previous_key_expires_at": webhook.previous_key_expires_at,
        "encrypted_keys": [Binary(encrypted) for encrypted in webhook.encrypted_keys],
    }


def activity_update(counts: DeliveryCounts) -> Document:
    """Return the update that adds counts to the stored ones. Concurrent updates add up."""
    activity = counts.activity
    sums = {"requests.total": counts.calls, "requests.error": counts.faulty_calls}
    sums |= {f"activity.{name}": value for name in _SUMS if (value := getattr(activity, name))}
    sums |= {f"activity.ignored.{_name(reason)}": times for reason, times in activity.ignored.items()}
    update: Document = {"$inc": sums}
    if activity.last_received_at is not None:
        update["$max"] = {"activity.last_received_at": activity.last_received_at}
    if activity.last_error_at is not None:
        update["$set"] = {
            "activity.last_error_at": activity.last_error_at,
            "activity.last_error": activity.last_error,
        }
    return update


def activity_of(stored: Mapping[str, Any]) -> Activity:
    """Return the delivery counts of a document's `activity`; zero where it is missing, as in upstream documents."""
    ignored = stored.get("ignored")
    return Activity(
        **{name: int(stored.get(name) or 0) for name in _SUMS},
        ignored={reason: int(times) for reason, times in ignored.items()} if isinstance(ignored, Mapping) else {},
        last_received_at=_moment(stored.get("last_received_at")),
        last_error_at=_moment(stored.get("last_error_at")),
        last_error=str(stored.get("last_error") or ""),
    )


def _object(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


def _name(reason: str) -> str:
    # A reason is a field name here. Those of the parsers hold no such characters; those of plugins may.
    return reason.replace(".", " ").replace("$", " ").replace("\0", " ")[:100] or " "


def _moment(value: Any) -> datetime | None:
    return value if isinstance(value, datetime) else None
