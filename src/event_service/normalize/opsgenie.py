"""Opsgenie's outgoing webhook.

Source: https://support.atlassian.com/opsgenie/docs/opsgenie-edge-connector-alert-action-data/
"""

from datetime import datetime

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.fields import extra_fields, mapping, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import priority_severity, recovery_severity
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

_ACTIONS = {"create": EventType.ALERT, "close": EventType.RECOVERY, "delete": EventType.RECOVERY}


def detect(payload: Json, _headers: Headers) -> bool:
    if not isinstance(payload, dict) or "action" not in payload:
        return False
    alert = payload.get("alert")
    return isinstance(alert, dict) and "alertId" in alert


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event for actions that open or end an alert. Others (Acknowledge, AddNote, ...) are ignored."""
    body = object_of(payload)
    event_type = _ACTIONS.get(text(body.get("action")).lower())
    if event_type is None:
        return single(
            body, "acknowledge" if text(body.get("action")).lower() == "acknowledge" else "other Opsgenie action"
        )
    alert = mapping(body.get("alert"))
    key = text(alert.get("alertId"))
    if not key:
        raise ParseError.at("alert.alertId", "must be given")
    over = event_type is EventType.RECOVERY
    draft = EventDraft(
        event_key=key,
        event_type=event_type,
        title=text(alert.get("message")) or "Opsgenie alert",
        description=text(alert.get("description")),
        severity=recovery_severity(priority_severity(alert.get("priority")), event_type, Severity.NONE),
        resources=texts(alert.get("entity")),
        additional_info=extra_fields(
            alias=alert.get("alias"),
            tiny_id=alert.get("tinyId"),
            source=alert.get("source"),
            tags=alert.get("tags"),
            details=alert.get("details"),
            integration=body.get("integrationName"),
        ),
        # createdAt counts milliseconds, updatedAt nanoseconds.
        occurred_at=moment(alert.get("updatedAt" if over else "createdAt")),
    )
    return single(body, draft)
