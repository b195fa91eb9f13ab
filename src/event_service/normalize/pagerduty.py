"""PagerDuty: Events API v2 and v1, which tools send to, and its own webhooks (v3).

Source: https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
and https://developer.pagerduty.com/docs/webhooks/v3-overview/
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.fields import extra_fields, first, first_line, joined_key, mapping, objects, text, texts
from event_service.normalize.generic import NamedFields
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.routing_keys import without_routing_keys
from event_service.normalize.severities import bare_title, named_severity, recovery_severity, stateless
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

_ACTIONS = ("trigger", "acknowledge", "resolve")

_INCIDENT_TYPES = {
    "incident.triggered": EventType.ALERT,
    "incident.reopened": EventType.ALERT,
    "incident.escalated": EventType.ALERT,
    "incident.resolved": EventType.RECOVERY,
}


def detect(payload: Json, _headers: Headers) -> bool:
    return (
        isinstance(payload, dict) and "event_action" in payload and ("routing_key" in payload or "dedup_key" in payload)
    )


def detect_v1(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict) and "service_key" in payload and "event_type" in payload


def detect_webhook(payload: Json, headers: Headers) -> bool:
    if not isinstance(payload, dict) or not isinstance(payload.get("event"), dict):
        return False
    event_type = payload["event"].get("event_type")
    return isinstance(event_type, str) and ("x-pagerduty-signature" in headers or "resource_type" in payload["event"])


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event. The routing key is a credential: only its hash is stored, in raw_data too."""
    masked = object_of(without_routing_keys(payload))
    parsed = Parsed()
    parsed.add(masked, _read, masked)
    return parsed


def parse_v1(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return one event of Events API v1. The service key is a credential: only its hash is stored.

    Source: https://developer.pagerduty.com/docs/events-api-v1/trigger-events/
    """
    masked = object_of(without_routing_keys(payload))
    parsed = Parsed()
    parsed.add(masked, _read_v1, masked, options)
    return parsed


def _read_v1(event: Mapping[str, Any], options: Options) -> EventDraft | str:
    action = text(event.get("event_type")).lower()
    if action not in _ACTIONS:
        raise ParseError.at("event_type", f"must be one of {', '.join(_ACTIONS)}")
    if action == "acknowledge":
        return "acknowledge"
    title, key = first_line(text(event.get("description"))), text(event.get("incident_key"))
    if not key and action == "resolve":
        raise ParseError.at("incident_key", "required for resolve")
    if not key and not title:
        raise ParseError.at("description", "required without incident_key")
    event_type = EventType.RECOVERY if action == "resolve" else EventType.ALERT
    details = event.get("details")
    named = NamedFields.of(mapping(details))
    severity, remark = named.severity(options)
    return EventDraft(
        event_key=joined_key("pagerduty", text(event.get("service_key")), key or title),
        event_type=event_type,
        title=title or key,
        description=text(event.get("description")) if "\n" in text(event.get("description")) else "",
        severity=recovery_severity(severity, event_type, Severity.NONE),
        remark=remark,
        resources=named.resources(),
        additional_info=extra_fields(
            incident_key=key,
            client=event.get("client"),
            client_url=event.get("client_url"),
            links=[link.get("href") for link in objects(event.get("contexts"))],
            details=details,
        ),
    )


def with_dedup_key(payload: Json) -> tuple[Json, str]:
    """Return an event of Events API v2 with a dedup key, and that key; "" for anything else.

    PagerDuty too makes up a missing key. Its clients end the alert by the key in the answer.
    """
    event = mapping(payload)
    details = mapping(event.get("payload"))
    identity = (text(details.get(name)) for name in ("source", "component", "group", "class", "summary"))
    return _with_key(payload, text(event.get("event_action")), "dedup_key", joined_key(*identity))


def with_incident_key(payload: Json) -> tuple[Json, str]:
    """Return an event of Events API v1 with an incident key, and that key, as `with_dedup_key` does."""
    event = mapping(payload)
    return _with_key(payload, text(event.get("event_type")), "incident_key", joined_key(text(event.get("description"))))


def _with_key(payload: Json, action: str, name: str, otherwise: str) -> tuple[Json, str]:
    if not isinstance(payload, dict) or action.lower() not in _ACTIONS:
        return payload, ""
    if key := text(payload.get(name)):
        return payload, key
    return ({**payload, name: otherwise}, otherwise) if action.lower() == "trigger" else (payload, "")


def _read(event: Mapping[str, Any]) -> EventDraft | str:
    action = text(event.get("event_action")).lower()
    if action not in _ACTIONS:
        raise ParseError.at("event_action", f"must be one of {', '.join(_ACTIONS)}")
    if action == "acknowledge":
        return "acknowledge"
    details = mapping(event.get("payload"))
    summary, source = text(details.get("summary")), text(details.get("source"))
    component, group, kind = (text(details.get(name)) for name in ("component", "group", "class"))
    key = text(event.get("dedup_key"))
    if not key and action == "resolve":
        raise ParseError.at("dedup_key", "required for resolve")
    if not key and not summary:
        raise ParseError.at("payload.summary", "required without dedup_key")
    event_type = EventType.RECOVERY if action == "resolve" else EventType.ALERT
    # Without a dedup key PagerDuty opens a new incident each time; here equal events share an alert.
    identity = (key,) if key else (source, component, group, kind, stateless(bare_title(summary)))
    return EventDraft(
        event_key=joined_key("pagerduty", text(event.get("routing_key")), *identity),
        event_type=event_type,
        title=bare_title(summary) or key,
        severity=recovery_severity(named_severity(details.get("severity")), event_type, Severity.NONE),
        rule=kind,
        image_url=first(*(image.get("src") for image in objects(event.get("images"))[:1])),
        resources=texts(source),
        additional_info=extra_fields(
            dedup_key=key,
            component=component,
            group=group,
            client=event.get("client"),
            client_url=event.get("client_url"),
            links=[link.get("href") for link in objects(event.get("links"))],
            custom_details=details.get("custom_details"),
        ),
        occurred_at=moment(details.get("timestamp")),
    )


def parse_webhook(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event for a change that opens or ends an incident."""
    body = object_of(payload)
    event = mapping(body.get("event"))
    kind = text(event.get("event_type"))
    event_type = _INCIDENT_TYPES.get(kind)
    if event_type is None:
        return single(body, "acknowledge" if kind == "incident.acknowledged" else "other PagerDuty event")
    incident = mapping(event.get("data"))
    key = text(incident.get("id"))
    if not key:
        raise ParseError.at("event.data.id", "must be given")
    service = mapping(incident.get("service"))
    urgent = {"high": Severity.ERROR, "low": Severity.WARNING}.get(text(incident.get("urgency")).lower())
    severity = named_severity(mapping(incident.get("priority")).get("summary")) or urgent
    draft = EventDraft(
        event_key=joined_key("pagerduty-incident", key),
        event_type=event_type,
        title=bare_title(text(incident.get("title"))) or key,
        severity=recovery_severity(severity, event_type, Severity.ERROR),
        resources=texts(service.get("summary")),
        additional_info=extra_fields(
            incident_id=key,
            incident_key=incident.get("incident_key"),
            number=incident.get("number"),
            url=incident.get("html_url"),
        ),
        occurred_at=moment(event.get("occurred_at")),
    )
    parsed = single(body, draft)
    if event_id := text(event.get("id")):
        parsed.message_id = f"pagerduty:{event_id}"
    return parsed
