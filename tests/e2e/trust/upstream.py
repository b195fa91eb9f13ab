"""Documents as upstream's own service writes them: keys in clear, alerts without conditions, events without replies.

Field names and defaults are those of spaceone-monitoring 2.0.dev73; mongoengine omits None by default.
"""

from datetime import datetime
from typing import Any

from bson import ObjectId

DOMAIN, WORKSPACE, PROJECT = "d-1", "ws-1", "project-a"


def webhook(webhook_id: str, access_key: str, **changes: Any) -> dict[str, Any]:
    """A webhook; `/monitoring/v1/webhook/.../events` is all upstream knows of its URL."""
    return {
        "webhook_id": webhook_id,
        "name": f"hook {webhook_id}",
        "state": "ENABLED",
        "access_key": access_key,
        "webhook_url": f"/monitoring/v1/webhook/{webhook_id}/{access_key}/events",
        "capability": {"supported_schema": []},
        "plugin_info": {
            "plugin_id": "plugin-api-direct-mon-webhook",
            "version": "1.0",
            "options": {},
            "metadata": {},
            "upgrade_mode": "AUTO",
        },
        "tags": {"team": "upstream"},
        "requests": {"total": 41, "error": 1},
        "project": ObjectId(),
        "project_id": PROJECT,
        "workspace_id": WORKSPACE,
        "domain_id": DOMAIN,
        "created_at": datetime(2024, 1, 1),  # noqa: DTZ001 - as mongoengine hands it to the driver
        **changes,
    }


def alert(number: int, webhook_id: str, created_at: datetime, **changes: Any) -> dict[str, Any]:
    """Return an alert, by default open."""
    return {
        "_id": ObjectId(),
        "alert_number": number,
        "alert_number_str": str(number),
        "alert_id": f"alert-{number:012x}",
        "title": f"alert {number}",
        "state": "TRIGGERED",
        "description": None,
        "assignee": None,
        "responder": None,
        "urgency": "HIGH",
        "severity": "CRITICAL",
        "rule": None,
        "image_url": None,
        "resources": [{"resource_id": None, "resource_type": None, "name": "web-1"}],
        "provider": None,
        "account": None,
        "additional_info": {},
        "escalation_step": 1,
        "escalation_ttl": 0,
        "triggered_by": webhook_id,
        "webhook_id": webhook_id,
        "escalation_policy_id": "ep-1",
        "project_id": PROJECT,
        "workspace_id": WORKSPACE,
        "domain_id": DOMAIN,
        "created_at": created_at,
        "updated_at": created_at,
        "acknowledged_at": None,
        "resolved_at": None,
        "escalated_at": None,
        **changes,
    }


def event(of: dict[str, Any], event_key: str, number: int, **changes: Any) -> dict[str, Any]:
    """Return an event of an alert."""
    return {
        "event_id": f"event-{number:012x}",
        "event_key": event_key,
        "event_type": "ALERT",
        "title": of["title"],
        "description": None,
        "severity": "CRITICAL",
        "rule": None,
        "image_url": None,
        "resources": ["web-1"],
        "provider": None,
        "account": None,
        "raw_data": {"from": "upstream"},
        "additional_info": {},
        "alert": of["_id"],
        "alert_id": of["alert_id"],
        "webhook_id": of["webhook_id"],
        "project_id": PROJECT,
        "workspace_id": WORKSPACE,
        "domain_id": DOMAIN,
        "created_at": of["created_at"],
        "occurred_at": None,
        **changes,
    }
