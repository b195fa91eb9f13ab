"""Huawei Cloud Eye's custom events: items of Reporting Events, through its API or posted to a webhook.

Source: https://support.huaweicloud.com/intl/en-us/api-ces/ces_03_0056.html
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, first, joined_key, mapping, objects, text
from event_service.normalize.result import (
    Fault,
    Headers,
    Json,
    Options,
    Parsed,
    ParseError,
    object_of,
    raw_object,
)
from event_service.normalize.splitting import check_split, every_member
from event_service.normalize.timestamps import moment

_REQUIRED = ("event_name", "event_source", "time")
_LEVELS = {
    "critical": Severity.CRITICAL,
    "major": Severity.ERROR,
    "minor": Severity.WARNING,
    "info": Severity.INFO,
}
_STATES = {"incident": Severity.ERROR, "warning": Severity.WARNING, "normal": Severity.INFO}


def detect(payload: Json, _headers: Headers) -> bool:
    return every_member(payload, lambda item: all(name in item for name in _REQUIRED))


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event per item of the array, or of the single item. Each has only itself as raw_data."""
    parsed = Parsed()
    several = isinstance(payload, list)
    if several:
        check_split(len(payload), 1, "")
    for index, member in enumerate(payload if several else [payload]):
        parsed.add(raw_object(member), _read, member, f"[{index}]" if several else "")
    return parsed


def event_of_item(item: Mapping[str, Any], project_id: str) -> EventDraft:
    """Return the event of an item that the Cloud Eye API has accepted and promised an id for.

    Args:
        project_id: of the Cloud Eye path. Part of the key, since one webhook may serve several projects.
    """
    draft = _draft(item, project_id)
    detail = mapping(item.get("detail"))
    resource_name = text(detail.get("resource_name"))
    if resource_name:
        draft.title = f"{draft.title} on {resource_name}"
    draft.resources = [name] if (name := first(detail.get("resource_id"), resource_name)) else []
    draft.provider, draft.account = "huaweicloud", project_id
    draft.always_store = True
    return draft


def _read(member: Json, path: str) -> EventDraft:
    item = object_of(member, path)
    prefix = f"{path}." if path else ""
    faults = [
        Fault(prefix + name, "must be given") for name in ("event_name", "event_source") if not text(item.get(name))
    ]
    if faults:
        raise ParseError(faults)
    return _draft(item, "")


def _draft(item: Mapping[str, Any], project_id: str) -> EventDraft:
    detail = mapping(item.get("detail"))
    name, source = text(item.get("event_name")), text(item.get("event_source"))
    state = text(detail.get("event_state")).lower()
    resource_id, resource_name = text(detail.get("resource_id")), text(detail.get("resource_name"))
    dimensions = {text(one.get("name")): text(one.get("value")) for one in objects(detail.get("dimensions"))}
    resource = resource_name or resource_id
    return EventDraft(
        event_key=_event_key(project_id, source, name, resource_id or resource_name, dimensions),
        title=name,
        description=text(detail.get("content")),
        severity=_severity(detail.get("event_level"), state),
        rule=f"{source}/{name}",
        resources=[resource] if resource else [],
        additional_info=extra_fields(
            event_state=state,
            event_level=detail.get("event_level"),
            event_user=detail.get("event_user"),
            group_id=detail.get("group_id"),
            event_name=name,
            event_source=source,
            resource_id=resource_id,
            resource_name=resource_name,
            dimensions=dimensions,
        ),
        occurred_at=moment(item.get("time")),
        raw_data=item,
        # `normal` alone is not a recovery: the vendor's example of it reports an intrusion.
        marks_trouble=state in {"warning", "incident"},
        recovers_if_troubled=state == "normal",
    )


def _event_key(project_id: str, source: str, name: str, resource: str, dimensions: Mapping[str, str]) -> str:
    """Return a key without time, state, level, user and content, so that a recovery has the key of its alert."""
    tags = [f"{key}={value}" for key, value in sorted(dimensions.items())]
    return joined_key(project_id, source, name, resource, *tags)


def _severity(level: Json, state: str) -> Severity:
    return _LEVELS.get(text(level).lower()) or _STATES.get(state, Severity.NONE)
