"""New Relic: issues of workflows, and incidents of legacy channels.

Source: https://docs.newrelic.com/docs/alerts/get-notified/notification-integrations/#webhook
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.fields import extra_fields, first, joined_key, objects, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import named_severity, recovery_severity
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

ACKNOWLEDGED = "acknowledge"

_STATES = {
    "created": EventType.ALERT,
    "activated": EventType.ALERT,
    "closed": EventType.RECOVERY,
    "acknowledged": None,  # known, but no event
}
_LEGACY_STATES = {
    "open": EventType.ALERT,
    "test": EventType.ALERT,  # so that a test of the channel shows
    "closed": EventType.RECOVERY,
    "acknowledged": None,
}


def detect(payload: Json, _headers: Headers) -> bool:
    if not isinstance(payload, dict):
        return False
    return ("issueUrl" in payload and "state" in payload) or ("incident_id" in payload and "current_state" in payload)


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event per change of an issue or incident."""
    body = object_of(payload)
    return single(body, _read_incident(body) if "current_state" in body else _read_issue(body))


def _read_issue(body: Mapping[str, Any]) -> EventDraft | str:
    event_type = _event_type(body, "state", _STATES)
    if event_type is None:
        return ACKNOWLEDGED
    key = text(body.get("id"))
    if not key:
        raise ParseError.at("id", "must be given")
    conditions = texts(body.get("alertConditionNames"))
    over = event_type is EventType.RECOVERY
    return EventDraft(
        event_key=key,
        event_type=event_type,
        title=next(iter(texts(body.get("title"))), "") or next(iter(conditions), "New Relic issue"),
        description=next(iter(texts(body.get("alertConditionDescriptions") or body.get("description"))), ""),
        severity=recovery_severity(named_severity(body.get("priority")), event_type, Severity.NONE),
        rule=next(iter(conditions), ""),
        resources=texts(body.get("impactedEntities")),
        additional_info=extra_fields(
            url=body.get("issueUrl"),
            state=body.get("state"),
            policies=body.get("alertPolicyNames"),
            conditions=conditions,
            workflow=body.get("workflowName"),
            sources=body.get("sources"),
            total_incidents=body.get("totalIncidents"),
        ),
        occurred_at=moment(body.get("updatedAt" if over else "createdAt")),
    )


def _read_incident(body: Mapping[str, Any]) -> EventDraft | str:
    event_type = _event_type(body, "current_state", _LEGACY_STATES)
    if event_type is None:
        return ACKNOWLEDGED
    incident_id, account_id = text(body.get("incident_id")), text(body.get("account_id"))
    if not incident_id:
        raise ParseError.at("incident_id", "must be given")
    return EventDraft(
        event_key=joined_key("newrelic", account_id, incident_id),
        event_type=event_type,
        title=first(body.get("condition_name"), body.get("policy_name")) or "New Relic incident",
        description=text(body.get("details")),
        severity=recovery_severity(named_severity(body.get("severity")), event_type, Severity.NONE),
        rule=text(body.get("policy_name")),
        resources=texts([target.get("name") for target in objects(body.get("targets"))]),
        additional_info=extra_fields(
            url=body.get("incident_url"),
            runbook_url=body.get("runbook_url"),
            account_id=account_id,
            account_name=body.get("account_name"),
            condition_id=body.get("condition_id"),
            state=body.get("current_state"),
        ),
        occurred_at=moment(body.get("timestamp")),
    )


def _event_type(body: Mapping[str, Any], name: str, states: Mapping[str, EventType | None]) -> EventType | None:
    state = text(body.get(name)).lower()
    if state not in states:
        raise ParseError.at(name, f"must be one of {', '.join(states)}")
    return states[state]
