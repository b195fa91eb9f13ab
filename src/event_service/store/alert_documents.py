"""Alerts as documents of the `alert` collection: upstream's fields, and the condition and events of the alert."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from event_service.model.condition import Alert
from event_service.store.client import Document
from event_service.store.documents import stored_object
from event_service.store.object_ids import object_id_of

CONDITION_ID = "condition_id"
EVENT_COUNT = "event_count"
FIRST_EVENT_AT = "first_event_at"
"""Null without events. Alerts of earlier versions and of upstream lack it: see `maintenance/alert_fields.py`."""

LAST_EVENT_AT = "last_event_at"
ALERT_NUMBER = "alert_number"
RATE_MINUTE = "rate_minute"
"""Webhook and minute, of alerts that an alert rate limit counts; other alerts lack it."""

RATE_REPORT = "rate_report"
"""The due report on the suppressed alerts that it stands for; null once it is stored, missing in other alerts."""

RATE_REPORT_DUE_AT = f"{RATE_REPORT}.due_at"

_RESOURCE_FIELDS = ("resource_id", "resource_type", "name")


def alert_document(alert: Alert, number: int) -> Document:
    """Return the document of a new alert, with the event that opens it if it belongs to a condition."""
    opened_at = alert.created_at
    document: Document = {
        "_id": object_id_of(alert.reference.object_id),
        "alert_id": alert.reference.alert_id,
        ALERT_NUMBER: number,
        "title": alert.title,
        "state": str(alert.state),
        "description": alert.description,
        "assignee": alert.assignee,
        "urgency": str(alert.urgency),
        "severity": str(alert.severity),
        "rule": alert.rule,
        "image_url": alert.image_url,
        "resources": resource_documents(alert.resources),
        "provider": alert.provider,
        "account": alert.account,
        "additional_info": stored_object(alert.additional_info),
        "triggered_by": alert.triggered_by,
        "webhook_id": alert.webhook_id,
        "project_id": alert.project_id,
        "workspace_id": alert.workspace_id,
        "domain_id": alert.domain_id,
        "created_at": opened_at,
        "updated_at": opened_at,
        "resolved_at": alert.resolved_at,
        CONDITION_ID: alert.condition_id,
        EVENT_COUNT: 1,
        FIRST_EVENT_AT: opened_at,
        LAST_EVENT_AT: opened_at,
    }
    if not alert.condition_id:
        document |= {EVENT_COUNT: 0, FIRST_EVENT_AT: None, LAST_EVENT_AT: None}
    if alert.counted:
        document[RATE_MINUTE] = rate_minute_of(alert.webhook_id, opened_at)
    if alert.rate_report is not None:
        document[RATE_REPORT] = alert.rate_report._asdict()
    return document


def rate_minute_of(webhook_id: str, moment: datetime) -> str:
    """Return the RATE_MINUTE of alerts that the webhook opens in that minute."""
    return f"{webhook_id} {moment:%Y-%m-%dT%H:%M}"


def resource_documents(names: Sequence[str]) -> list[Document]:
    """Return resources as upstream stores them, objects with a name."""
    return [{"name": name} for name in names]


def resource_fields(resources: Any) -> list[dict[str, str]]:
    """Return a document's `resources` as AlertResource has them. Versions before the Alert API stored names only."""
    if not isinstance(resources, list):
        return []
    objects = [{"name": one} if isinstance(one, str) else one for one in resources]
    return [
        {name: one[name] for name in _RESOURCE_FIELDS if isinstance(one.get(name), str)}
        for one in objects
        if isinstance(one, dict)
    ]


def resource_names(resources: Any) -> list[str]:
    """Return the names in a document's `resources`."""
    return [one["name"] for one in resource_fields(resources) if one.get("name")]
