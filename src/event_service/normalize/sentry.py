"""Sentry's integration platform: metric alerts, issue alerts, issues and errors.

Source: https://docs.sentry.io/organization/integrations/integration-platform/webhooks/
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.fields import extra_fields, first, joined_key, mapping, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import named_severity, recovery_severity
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

_METRIC_ACTIONS = {
    "critical": (EventType.ALERT, Severity.CRITICAL),
    "warning": (EventType.ALERT, Severity.WARNING),
    "resolved": (EventType.RECOVERY, Severity.INFO),
}
_ISSUE_ACTIONS = {
    "created": EventType.ALERT,
    "unresolved": EventType.ALERT,  # reopened
    "resolved": EventType.RECOVERY,
}
_KINDS = ("metric_alert", "event", "error", "issue")


def detect(payload: Json, headers: Headers) -> bool:
    if "sentry-hook-resource" in headers:
        return True
    if not isinstance(payload, dict):
        return False
    if "action" not in payload:
        return _is_plugin(payload)
    data = payload.get("data")
    return isinstance(data, dict) and any(isinstance(data.get(kind), dict) for kind in _KINDS)


def parse(payload: Json, headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event for changes that open or end an alert. Comments, assignments and installations are ignored."""
    body = object_of(payload)
    data = mapping(body.get("data"))
    action = text(body.get("action")).lower()
    outcome: EventDraft | str = "other Sentry event"
    if _is_plugin(body):
        return single(body, _read_plugin(body))
    if isinstance(data.get("metric_alert"), dict):
        outcome = _read_metric_alert(data, action)
    elif isinstance(data.get("event"), dict):
        outcome = _read_event(data["event"], data)
    elif isinstance(data.get("error"), dict):
        outcome = _read_event(data["error"], data)
    elif isinstance(data.get("issue"), dict):
        outcome = _read_issue(data["issue"], action)
    parsed = single(body, outcome)
    if request_id := text(headers.get("request-id")):
        parsed.message_id = f"sentry:{request_id}"
    return parsed


def _is_plugin(payload: Mapping[str, Any]) -> bool:
    """Return True for the older WebHooks plugin, which reports new and reopened issues only."""
    return all(name in payload for name in ("project_slug", "culprit", "id")) and isinstance(payload.get("event"), dict)


def _read_plugin(body: Mapping[str, Any]) -> EventDraft:
    """Return an event of the issue `id`, under the key that newer hooks resolve."""
    event = body["event"]
    rules = texts(body.get("triggering_rules"))
    return EventDraft(
        event_key=_issue_key(text(body.get("id"))),
        title=first(event.get("title"), body.get("message"), body.get("culprit")) or "Sentry event",
        description=first(body.get("message"), body.get("culprit")),
        severity=named_severity(body.get("level")) or Severity.NONE,
        rule=next(iter(rules), ""),
        resources=texts(first(body.get("project_slug"), body.get("project"))),
        additional_info=extra_fields(
            url=body.get("url"),
            issue_id=body.get("id"),
            event_id=event.get("event_id"),
            environment=event.get("environment"),
            release=event.get("release"),
            culprit=body.get("culprit"),
        ),
        occurred_at=moment(event.get("datetime"), UTC) or moment(event.get("timestamp"), UTC),
    )


def _read_metric_alert(data: Mapping[str, Any], action: str) -> EventDraft:
    if action not in _METRIC_ACTIONS:
        raise ParseError.at("action", f"must be one of {', '.join(_METRIC_ACTIONS)}")
    event_type, severity = _METRIC_ACTIONS[action]
    alert = mapping(data.get("metric_alert"))
    rule = mapping(alert.get("alert_rule"))
    key = text(alert.get("id"))
    if not key:
        raise ParseError.at("data.metric_alert.id", "must be given")
    organization = first(alert.get("organization_id"), rule.get("organization_id"))
    name = text(rule.get("name"))
    started_at = moment(alert.get("date_started")) or moment(alert.get("date_detected"))
    return EventDraft(
        event_key=joined_key("sentry", "metric_alert", organization, key),
        event_type=event_type,
        title=name or first(alert.get("title"), data.get("description_title")) or "Sentry metric alert",
        description=text(data.get("description_text")),
        severity=severity,
        rule=name,
        resources=texts(alert.get("projects")),
        additional_info=extra_fields(
            url=data.get("web_url"),
            identifier=alert.get("identifier"),
            query=rule.get("query"),
            aggregate=rule.get("aggregate"),
            environment=rule.get("environment"),
        ),
        occurred_at=moment(alert.get("date_closed")) if event_type is EventType.RECOVERY else started_at,
    )


def _read_event(event: Mapping[str, Any], data: Mapping[str, Any]) -> EventDraft:
    """Return an event of an issue: an issue alert or an error. The resolution of the issue ends it."""
    issue_id = first(event.get("issue_id"), mapping(event.get("issue")).get("id"))
    if not issue_id:
        raise ParseError.at("data.event.issue_id", "must be given")
    return EventDraft(
        event_key=_issue_key(issue_id),
        title=first(event.get("title"), event.get("message"), data.get("triggered_rule")) or "Sentry event",
        description=first(event.get("message"), event.get("culprit")),
        severity=named_severity(event.get("level")) or Severity.NONE,
        rule=text(data.get("triggered_rule")),
        resources=texts(_project_of(event)),
        additional_info=extra_fields(
            url=event.get("web_url"),
            issue_id=issue_id,
            event_id=event.get("event_id"),
            platform=event.get("platform"),
            environment=event.get("environment"),
            release=event.get("release"),
            culprit=event.get("culprit"),
        ),
        occurred_at=moment(event.get("datetime")) or moment(event.get("timestamp")),
    )


def _read_issue(issue: Mapping[str, Any], action: str) -> EventDraft | str:
    event_type = _ISSUE_ACTIONS.get(action)
    if event_type is None:
        return "other Sentry event"
    key = text(issue.get("id"))
    if not key:
        raise ParseError.at("data.issue.id", "must be given")
    project = mapping(issue.get("project"))
    # A reopened issue was first seen before its resolution: firstSeen is the time of new issues only.
    occurred_at = moment(issue.get("firstSeen")) if action == "created" else None
    return EventDraft(
        event_key=_issue_key(key),
        event_type=event_type,
        title=first(issue.get("title"), issue.get("shortId")) or "Sentry issue",
        description=text(issue.get("culprit")),
        severity=recovery_severity(named_severity(issue.get("level")), event_type, Severity.NONE),
        resources=texts(first(project.get("slug"), project.get("name"))),
        additional_info=extra_fields(
            url=first(issue.get("web_url"), issue.get("permalink")),
            issue_id=key,
            short_id=issue.get("shortId"),
            platform=issue.get("platform"),
        ),
        occurred_at=occurred_at,
    )


def _issue_key(issue_id: str) -> str:
    return joined_key("sentry", "issue", issue_id)


def _project_of(event: Mapping[str, Any]) -> str:
    """Return the project's slug, also from `.../projects/{organization}/{project}/events/...`."""
    if slug := first(event.get("project_slug"), event.get("project_name")):
        return slug
    _, found, rest = text(event.get("url")).partition("/projects/")
    parts = rest.split("/")
    return parts[1] if found and len(parts) > 1 else ""
