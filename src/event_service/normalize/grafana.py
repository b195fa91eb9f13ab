"""Grafana alerting since version 8 (`alerts`, `orgId`), and the older dashboard alerts (`ruleId`).

Source: https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
and the documentation of the webhook notification channel in version 7.
"""

from datetime import datetime

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.fields import extra_fields, first, joined_key, text
from event_service.normalize.prometheus_labels import Alert, parse_alerts, resource_of
from event_service.normalize.result import Fault, Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import bare_title, chosen_severity, recovery_severity
from event_service.normalize.splitting import single

# They name and rate an alert but identify no resource.
_NOT_RESOURCES = ("severity", "alertname")

# Alert names of rules that cannot be evaluated, whatever the rule; its name is in the label `rulename`.
_OF_ALL_RULES = frozenset({"DatasourceNoData", "DatasourceError"})

_LEGACY_STATES = {
    "alerting": (EventType.ALERT, Severity.ERROR),
    "no_data": (EventType.ALERT, Severity.NOT_AVAILABLE),
    "ok": (EventType.RECOVERY, Severity.INFO),
}
_LEGACY_IGNORED = frozenset({"paused", "pending", "unknown"})


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict) and "orgId" in payload and isinstance(payload.get("alerts"), list)


def detect_legacy(payload: Json, _headers: Headers) -> bool:
    return (
        isinstance(payload, dict)
        and "ruleId" in payload
        and "state" in payload
        and ("evalMatches" in payload or "ruleUrl" in payload)
    )


def parse(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return one event per member of `alerts`. groupKey is no key: unrelated alerts share it."""
    title = bare_title(text(object_of(payload).get("title")))
    return parse_alerts(payload, lambda alert: _draft(alert, title, options))


def _draft(alert: Alert, group_title: str, options: Options) -> EventDraft:
    body, labels, annotations = alert.body, alert.labels, alert.annotations
    name = labels.get("alertname", "")
    rule = first(labels.get("rulename"), name)
    if name in _OF_ALL_RULES and rule != name:
        name = f"{rule} ({name})"
    return EventDraft(
        event_key=alert.event_key,
        event_type=alert.event_type,
        title=first(name, annotations.get("summary")) or group_title or "Grafana alert",
        description=first(*map(annotations.get, ("description", "summary", "Error")), body.get("valueString")),
        severity=recovery_severity(chosen_severity(labels.get("severity"), options), alert.event_type, Severity.ERROR),
        rule=rule,
        image_url=first(body.get("imageURL"), body.get("panelURL")),
        resources=resource_of({key: value for key, value in labels.items() if key not in _NOT_RESOURCES}),
        additional_info=alert.info,
        occurred_at=alert.occurred_at,
    )


def parse_legacy(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event. The body has no timestamp."""
    body = object_of(payload)
    state = text(body.get("state")).lower()
    if state in _LEGACY_IGNORED:
        return single(body, f"state {state}")
    faults = []
    if state not in _LEGACY_STATES:
        faults.append(Fault("state", f"must be one of {', '.join(_LEGACY_STATES)}"))
    rule_id = text(body.get("ruleId"))
    if not rule_id:
        faults.append(Fault("ruleId", "must be given"))
    if faults:
        raise ParseError(faults)
    event_type, severity = _LEGACY_STATES[state]
    title = bare_title(text(body.get("title")))
    matches = body.get("evalMatches")
    draft = EventDraft(
        event_key=joined_key("grafana-legacy", text(body.get("orgId")), rule_id),
        event_type=event_type,
        title=title or text(body.get("ruleName")) or "Grafana alert",
        description=text(body.get("message")),
        severity=severity,
        rule=text(body.get("ruleName")),
        image_url=text(body.get("imageUrl")),
        additional_info=extra_fields(
            rule_url=body.get("ruleUrl"),
            dashboard_id=body.get("dashboardId"),
            panel_id=body.get("panelId"),
            org_id=body.get("orgId"),
            state=state,
            tags=body.get("tags"),
            metrics=[match.get("metric") for match in matches if isinstance(match, dict)]
            if isinstance(matches, list)
            else None,
        ),
    )
    return single(body, draft)
