"""Google Cloud Monitoring's webhook, versions 1.1, 1.2 and the console's test.

Source: https://cloud.google.com/monitoring/support/notification-options#schema-pubsub
"""

from datetime import datetime

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, first, mapping, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import State, named_severity, recovery_severity
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment


def detect(payload: Json, _headers: Headers) -> bool:
    if not isinstance(payload, dict):
        return False
    incident = payload.get("incident")
    return isinstance(incident, dict) and "incident_id" in incident


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event, keyed by its incident. The console's test always has the id 12345."""
    body = object_of(payload)
    incident = mapping(body.get("incident"))
    key = text(incident.get("incident_id"))
    if not key:
        raise ParseError.at("incident.incident_id", "must be given")
    state = State.RESOLVED if text(incident.get("state")).lower() == "closed" else State.FIRING
    policy = text(incident.get("policy_name"))
    condition = first(incident.get("condition_name"), mapping(incident.get("condition")).get("displayName"))
    labels = mapping(incident.get("policy_user_labels"))
    severity = named_severity(incident.get("severity")) or named_severity(labels.get("severity"))
    resource = mapping(incident.get("resource"))
    metric = mapping(incident.get("metric"))
    documentation = incident.get("documentation")
    summary = text(incident.get("summary"))
    draft = EventDraft(
        event_key=key,
        event_type=state.event_type,
        title=condition or policy or summary or "Google Cloud incident",
        description=summary,
        severity=recovery_severity(severity, state.event_type, Severity.WARNING),
        rule=policy,
        resources=texts(first(incident.get("resource_display_name"), incident.get("resource_name"))),
        provider="google_cloud",
        account=first(incident.get("scoping_project_id"), mapping(resource.get("labels")).get("project_id")),
        additional_info=extra_fields(
            url=incident.get("url"),
            resource_type=resource.get("type"),
            resource_labels=resource.get("labels"),
            metric_type=metric.get("type"),
            metric_labels=metric.get("labels"),
            user_labels=labels,
            observed_value=incident.get("observed_value"),
            threshold_value=incident.get("threshold_value"),
            documentation=mapping(documentation).get("content") or documentation,
        ),
        occurred_at=moment(incident.get("ended_at" if state is State.RESOLVED else "started_at")),
    )
    return single(body, draft)
