"""Azure Monitor's own schemas, which action groups send unless the common alert schema is enabled.

Source: https://learn.microsoft.com/en-us/azure/azure-monitor/alerts/alerts-non-common-schema-definitions
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.azure import event_type_of, service_health_key, severity_of, subscription_of
from event_service.normalize.fields import extra_fields, first, first_line, joined_key, mapping, objects, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import named_severity, recovery_severity
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

_SCHEMAS = frozenset(
    {
        "azuremonitormetricalert",
        "microsoft.insights/activitylogs",
        "microsoft.insights/logalert",
        "aip budget notification",
    }
)
_OVER = frozenset({"deactivated", "resolved"})


def detect(payload: Json, _headers: Headers) -> bool:
    if not isinstance(payload, dict):
        return False
    if "schemaId" in payload:
        return text(payload["schemaId"]).lower() in _SCHEMAS and isinstance(payload.get("data"), dict)
    # Classic metric alerts have no schema.
    context = payload.get("context")
    return isinstance(context, dict) and "status" in payload and "resourceId" in context


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event. Only metric alerts, resource health and service health ever resolve."""
    body = object_of(payload)
    data = mapping(body.get("data")) if "schemaId" in body else body
    context = mapping(data.get("context"))
    if "activityLog" in context:
        return single(body, _read_activity(mapping(context["activityLog"])))
    schema = text(body.get("schemaId")).lower()
    if schema.endswith("logalert"):
        return single(body, _read_log(data))
    if "budget" in schema:
        return single(body, _read_budget(data))
    return single(body, _read_metric(data, context))


def _read_metric(data: Mapping[str, Any], context: Mapping[str, Any]) -> EventDraft:
    """Read a metric alert; one rule watches several resources, and series of each."""
    rule, resource_id = first(context.get("id"), context.get("name")), text(context.get("resourceId"))
    if not rule:
        raise ParseError.at("data.context.id", "must be given")
    condition = context.get("condition")
    series = [
        f"{text(one.get('name'))}={text(one.get('value'))}"
        for criterion in objects(mapping(condition).get("allOf"))
        for one in objects(criterion.get("dimensions"))
    ]
    event_type = event_type_of(text(data.get("status")).lower() in _OVER)
    written = text(context.get("severity"))
    name = first(context.get("resourceName"), _tail(resource_id))
    return EventDraft(
        event_key=joined_key("azure-metric", rule.lower(), resource_id.lower(), *sorted(series)),
        event_type=event_type,
        title=first_line(first(context.get("name"), _tail(rule))),
        description=text(context.get("description")),
        severity=severity_of(f"sev{written}" if written else None),
        rule=text(context.get("name")),
        resources=texts(name),
        provider="azure",
        account=first(context.get("subscriptionId"), subscription_of(rule), subscription_of(resource_id)),
        additional_info=extra_fields(
            rule_id=rule,
            resource_id=resource_id,
            resource_type=context.get("resourceType"),
            region=context.get("resourceRegion"),
            dimensions=series,
            portal_link=context.get("portalLink"),
        ),
        occurred_at=moment(context.get("timestamp"), UTC),
    )


def _read_activity(log: Mapping[str, Any]) -> EventDraft:
    """Read an activity log: a health event has an end, an operation has none."""
    properties, resource_id = mapping(log.get("properties")), text(log.get("resourceId"))
    source, operation = text(log.get("eventSource")).lower(), text(log.get("operationName"))
    subscription = first(log.get("subscriptionId"), subscription_of(resource_id))
    tracking_id = first(properties.get("trackingId"), properties.get("trackingID"))
    is_over = False
    if source == "servicehealth" and tracking_id:
        is_over = not {text(properties.get("stage")).lower(), text(log.get("status")).lower()}.isdisjoint(
            {"resolved", "complete"}
        )
        key = service_health_key(subscription, tracking_id)
    elif source == "resourcehealth" and resource_id:
        is_over = text(properties.get("currentHealthStatus")).lower() == "available"
        key = joined_key("azure-resource-health", resource_id.lower())
    elif resource_id or operation:
        key = joined_key("azure-activity", resource_id.lower(), operation.lower())
    else:
        raise ParseError.at("data.context.activityLog.operationName", "must be given")
    event_type = event_type_of(is_over)
    return EventDraft(
        event_key=key,
        event_type=event_type,
        title=first_line(first(properties.get("title"), operation, log.get("description"), tracking_id)) or resource_id,
        description=first(log.get("description"), properties.get("details"), properties.get("communication")),
        severity=recovery_severity(named_severity(log.get("level")), event_type, Severity.INFO),
        rule=operation,
        resources=texts(_tail(resource_id)),
        provider="azure",
        account=subscription,
        additional_info=extra_fields(
            resource_id=resource_id,
            event_source=log.get("eventSource"),
            status=log.get("status"),
            caller=log.get("caller"),
            correlation_id=log.get("correlationId"),
            tracking_id=tracking_id,
        ),
        occurred_at=moment(log.get("eventTimestamp"), UTC),
    )


def _read_log(data: Mapping[str, Any]) -> EventDraft:
    """Read a log search alert, which fires anew at each run of its query."""
    rule, subscription = text(data.get("AlertRuleName")), text(data.get("SubscriptionId"))
    if not rule:
        raise ParseError.at("data.AlertRuleName", "must be given")
    written = text(data.get("Severity"))
    resources = data.get("AffectedConfigurationItems") or data.get("ResourceId")
    return EventDraft(
        event_key=joined_key("azure-log", subscription, rule, text(data.get("WorkspaceId"))),
        event_type=EventType.ALERT,
        title=first_line(rule),
        description=text(data.get("Description")),
        severity=severity_of(f"sev{written}" if written.isdigit() else written),
        rule=rule,
        resources=texts([_tail(name) for name in texts(resources)]),
        provider="azure",
        account=subscription,
        additional_info=extra_fields(
            query=data.get("SearchQuery"),
            results=data.get("ResultCount"),
            portal_link=first(data.get("LinkToFilteredSearchResultsUI"), data.get("LinkToSearchResults")),
        ),
        occurred_at=moment(first(data.get("SearchIntervalEndtimeUtc"), data.get("SearchIntervalEndTimeUtc")), UTC),
    )


def _read_budget(data: Mapping[str, Any]) -> EventDraft:
    name, scope = text(data.get("BudgetName")), first(data.get("Scope"), data.get("SubscriptionId"))
    if not name:
        raise ParseError.at("data.BudgetName", "must be given")
    return EventDraft(
        event_key=joined_key("azure-budget", scope, name, text(data.get("BudgetStartDate"))),
        event_type=EventType.ALERT,
        title=first_line(name),
        severity=Severity.WARNING,
        rule=name,
        provider="azure",
        account=text(data.get("SubscriptionId")),
        additional_info=extra_fields(
            budget=data.get("Budget"),
            spent=data.get("SpendingAmount"),
            threshold=data.get("NotificationThresholdAmount"),
            unit=data.get("Unit"),
        ),
    )


def _tail(resource_id: str) -> str:
    return resource_id.rstrip("/").rpartition("/")[2].strip()
