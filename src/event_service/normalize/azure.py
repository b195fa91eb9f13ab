"""Azure Monitor's common alert schema.

Source: https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.fields import extra_fields, first, first_line, joined_key, mapping, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import named_severity
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

_SCHEMA = "azureMonitorCommonAlertSchema"
_SEVERITIES = {
    "sev0": Severity.CRITICAL,
    "sev1": Severity.ERROR,
    "sev2": Severity.WARNING,
    "sev3": Severity.INFO,
    "sev4": Severity.INFO,
}
_SERVICE_HEALTH_ENDS = frozenset({"resolved", "complete"})


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict) and payload.get("schemaId") == _SCHEMA


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event. Every field of the schema may be null or an empty list."""
    body = object_of(payload)
    data = mapping(body.get("data"))
    essentials, context = mapping(data.get("essentials")), mapping(data.get("alertContext"))
    event_type, key = _state_and_key(essentials, context)
    rule = text(essentials.get("alertRule"))
    targets = texts(essentials.get("alertTargetIDs"))
    budget = mapping(context.get("AlertData"))  # of cost alerts, whose other fields are null
    summary = first(budget.get("BudgetName"), essentials.get("description"), essentials.get("monitoringService"))
    alert_id = first(essentials.get("alertId"), essentials.get("originAlertId"))
    draft = EventDraft(
        event_key=key,
        event_type=event_type,
        title=rule or first_line(summary) or "Azure Monitor alert",
        description=text(essentials.get("description")),
        severity=severity_of(essentials.get("severity")),
        rule=rule,
        resources=texts(essentials.get("configurationItems") or [_tail(target) for target in targets]),
        provider="azure",
        account=first(*map(subscription_of, (text(essentials.get("alertId")), *targets, text(budget.get("Scope"))))),
        additional_info=extra_fields(
            alert_id=alert_id,
            signal_type=essentials.get("signalType"),
            monitoring_service=essentials.get("monitoringService"),
            monitor_condition=essentials.get("monitorCondition"),
            target_ids=targets,
            portal_link=first(context.get("LinkToSearchResults"), essentials.get("investigationLink")),
        ),
        occurred_at=moment(essentials.get("resolvedDateTime" if event_type is EventType.RECOVERY else "firedDateTime")),
    )
    return single(body, draft)


def _state_and_key(essentials: Mapping[str, Any], context: Mapping[str, Any]) -> tuple[EventType, str]:
    """Return the event type and the key. Fired and Resolved of one alert instance share its alertId.

    Activity log alerts never resolve. Service Health, one of them, reports the end under a new alertId each time;
    only the tracking id of the incident is stable.
    """
    resolved = text(essentials.get("monitorCondition")).lower() == "resolved"
    if text(essentials.get("monitoringService")).replace(" ", "").lower() == "servicehealth":
        properties = mapping(context.get("properties"))
        stages = {text(properties.get("stage")).lower(), text(context.get("status")).lower()}
        resolved = resolved or not _SERVICE_HEALTH_ENDS.isdisjoint(stages)
        if tracking_id := first(properties.get("trackingId"), properties.get("trackingID")):
            subscription = subscription_of(text(essentials.get("alertId")))
            return event_type_of(resolved), service_health_key(subscription, tracking_id)
    key = first(essentials.get("alertId"), essentials.get("originAlertId"))
    if not key:
        raise ParseError.at("data.essentials.alertId", "must be given")
    return event_type_of(resolved), key


def service_health_key(subscription: str, tracking_id: str) -> str:
    return joined_key("azure-service-health", subscription, tracking_id)


def event_type_of(resolved: bool) -> EventType:
    return EventType.RECOVERY if resolved else EventType.ALERT


def severity_of(value: Json) -> Severity:
    """Return the severity; WARNING for null, which budget alerts send; NOT_AVAILABLE for unknown words."""
    written = text(value).lower()
    if not written:
        return Severity.WARNING
    return _SEVERITIES.get(written) or named_severity(written) or Severity.NOT_AVAILABLE


def _tail(resource_id: str) -> str:
    return resource_id.rstrip("/").rpartition("/")[2]


def subscription_of(resource_id: str) -> str:
    """Return the id in `/subscriptions/{id}/...`, or ""."""
    parts = resource_id.split("/", 3)
    return parts[2] if len(parts) > 2 and parts[1].lower() == "subscriptions" else ""
