"""Datadog's webhook integration: templates with its variables, its default template, and upstream's template.

Source: https://docs.datadoghq.com/integrations/webhooks/
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, first, flat, joined_key, mapping, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import State, bare_title, named_severity, priority_severity, recovery_severity
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

_TEST_MARK = "[TEST]"
_DEFAULT_TEMPLATE = ("body", "event_type", "title", "org", "id")
_group_mark = re.compile(r"(?:\[[^\]{}]{0,40}\]\s*){0,4}?\[[^\]{}]{1,40} on \{([^{}]*)\}")
_ALERT_TYPES = {
    "error": Severity.ERROR,
    "warning": Severity.WARNING,
    "success": Severity.INFO,
    "info": Severity.INFO,
}


def detect(payload: Json, _headers: Headers) -> bool:
    if not isinstance(payload, dict):
        return False
    return (
        "alert_transition" in payload
        or ("event_key" in payload and "occured_at" in payload)  # upstream's template spells it so
        or all(name in payload for name in _DEFAULT_TEMPLATE)
    )


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event, keyed by monitor and group: `id` identifies a single notification."""
    body = object_of(payload)
    draft = _read_upstream_template(body) if text(body.get("event_key")) else _read(body)
    return single(body, draft)


def _read(body: Mapping[str, Any]) -> EventDraft:
    full_title = _value(body, "title")
    marks, plain_title = _split_title(full_title)
    title = _value(body, "alert_title") or plain_title
    transition = _value(body, "alert_transition").lower() or marks
    alert_type = _value(body, "alert_type").lower()
    resolved = "recovered" in transition or (not transition and alert_type == "success")
    state = State.RESOLVED if resolved else State.FIRING
    scope = _value(body, "alert_scope") or _scope_of_title(full_title)
    org = mapping(body.get("org"))
    return EventDraft(
        event_key=_identity(body, plain_title or title, scope),
        event_type=state.event_type,
        title=title or "Datadog event",
        description=_value(body, "body").strip("% \n\r"),
        severity=recovery_severity(
            priority_severity(_value(body, "alert_priority"))
            or _marked_priority(marks)
            or _ALERT_TYPES.get(alert_type),
            state.event_type,
            _severity_of_transition(transition),
        ),
        rule=_value(body, "alert_title"),
        image_url=_value(body, "snapshot"),
        resources=texts(_value(body, "hostname") or _resource_of_scope(scope)),
        additional_info=extra_fields(
            link=_value(body, "link"),
            alert_id=_value(body, "alert_id"),
            alert_scope=scope,
            alert_status=_value(body, "alert_status"),
            alert_metric=_value(body, "alert_metric"),
            alert_query=_value(body, "alert_query"),
            transition=transition if transition != marks else "",
            org_id=org.get("id"),
            org_name=org.get("name"),
            tags=[tag for tag in _value(body, "tags").split(",") if tag],
        ),
        occurred_at=moment(body.get("last_updated")) or moment(body.get("date")),
    )


def _read_upstream_template(body: Mapping[str, Any]) -> EventDraft:
    """Read the template of upstream's plugin, which provides the key. Its event_type is an alert type."""
    state = State.RESOLVED if text(body.get("event_type")).lower() == "success" else State.FIRING
    severity = named_severity(body.get("severity"))
    return EventDraft(
        event_key=text(body.get("event_key")),
        event_type=state.event_type,
        title=first(body.get("title"), body.get("rule")) or "Datadog event",
        description=text(body.get("description")),
        severity=recovery_severity(severity, state.event_type, Severity.ERROR),
        rule=text(body.get("rule")),
        image_url=text(body.get("image_url")),
        resources=texts(mapping(body.get("resource")).get("name")),
        additional_info={**flat(body.get("additional_info"))},
        occurred_at=moment(body.get("occured_at")) or moment(body.get("occurred_at")),
    )


def _value(body: Mapping[str, Any], name: str) -> str:
    """Return a field as text; "" for a variable that Datadog left unexpanded (`$HOSTNAME`)."""
    value = text(body.get(name))
    return "" if value.startswith("$") and value[1:].replace("_", "").isupper() else value


def _split_title(title: str) -> tuple[str, str]:
    """Return the leading state and priority marks in lower case, and the title without them.

    Test notifications keep the mark [TEST] in the title, so that they never end a real alert.
    """
    plain = bare_title(title)
    marks = title.removesuffix(plain)
    if plain.startswith(_TEST_MARK):
        tested = plain.removeprefix(_TEST_MARK).strip()
        rest = bare_title(tested)
        marks, plain = marks + tested.removesuffix(rest), f"{_TEST_MARK} {rest}".strip()
    return marks.lower(), plain


def _scope_of_title(title: str) -> str:
    """Return the group of a multi alert: `host:web-1` of `[Triggered on {host:web-1}] Disk`, or ""."""
    found = _group_mark.match(title)
    return found[1].strip() if found else ""


def _identity(body: Mapping[str, Any], title: str, scope: str) -> str:
    """Return a key of monitor and group, else of the aggregation, else of organization, title and group."""
    if alert_id := _value(body, "alert_id"):
        return joined_key("datadog", alert_id, scope)
    if aggregation := _value(body, "aggreg_key"):
        return joined_key("datadog", aggregation)
    if not title:
        raise ParseError.at("title", "required without alert_id and aggreg_key")
    group = [scope] if scope else []
    return joined_key("datadog", first(mapping(body.get("org")).get("id"), body.get("org_id")), title, *group)


def _marked_priority(marks: str) -> Severity | None:
    start = marks.find("[p")
    return priority_severity(marks[start + 1 : start + 3]) if start >= 0 else None


def _severity_of_transition(transition: str) -> Severity:
    if "no data" in transition:
        return Severity.NOT_AVAILABLE
    return Severity.WARNING if "warn" in transition else Severity.ERROR


def _resource_of_scope(scope: str) -> str:
    """Return the host of `host:web-1,env:prod`, else the whole scope."""
    for tag in scope.split(","):
        name, _, value = tag.strip().partition(":")
        if name == "host" and value:
            return value
    return scope
