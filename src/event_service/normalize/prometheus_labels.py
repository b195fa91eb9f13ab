"""Common fields of Alertmanager's and Grafana's alerts: labels, annotations, fingerprint, start and end."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from event_service.model.event import EventDraft, EventType
from event_service.normalize.fields import flat, joined_key, text
from event_service.normalize.result import Json, Parsed, ParseError, object_of
from event_service.normalize.splitting import per_item
from event_service.normalize.timestamps import moment

# The first of these labels is the resource. The order is that of upstream's Prometheus plugin.
RESOURCE_LABELS = (
    "resource",
    "grpc_method",
    "instance",
    "pod",
    "container",
    "device",
    "pvc",
    "pv",
    "deployment",
    "daemonset",
    "statefulset",
    "hpa",
    "service",
    "controller",
    "job",
    "namespace",
    "phase",
    "severity",
    "alertname",
)

_TRUNCATED = "alerts cut off by the sender"


class Alert(NamedTuple):
    """A member of `alerts`.

    Attributes:
        body: the member as received.
        info: its additional_info.
    """

    body: Mapping[str, Any]
    labels: dict[str, str]
    annotations: dict[str, str]
    event_key: str
    event_type: EventType
    occurred_at: datetime | None
    info: dict[str, Any]


def parse_alerts(payload: Json, draft_of: Callable[[Alert], EventDraft]) -> Parsed:
    """Return one event per member of `alerts`, and report what the sender's max_alerts cut off.

    Raises:
        ParseError: no such list.
    """
    group = object_of(payload)
    status, truncated = group.get("status"), text(group.get("truncatedAlerts"))
    cut_off = truncated not in {"", "0"}

    def read(body: dict[str, Any], path: str) -> EventDraft:
        labels, annotations = flat(body.get("labels")), flat(body.get("annotations"))
        event_type = event_type_of(body, status)
        info = info_of(body, labels, annotations)
        if cut_off:
            info["truncated_alerts"] = truncated
        key = event_key_of(body, labels, path)
        return draft_of(Alert(body, labels, annotations, key, event_type, occurred_at_of(body, event_type), info))

    parsed = per_item(group, "alerts", read)
    if cut_off:
        parsed.ignored.append(_TRUNCATED)
    return parsed


def event_type_of(alert: Mapping[str, Any], group_status: Json) -> EventType:
    """Return the type by the alert's own status; the group's counts only if the alert has none."""
    status = text(alert.get("status")) or text(group_status)
    return EventType.RECOVERY if status.lower() == "resolved" else EventType.ALERT


def event_key_of(alert: Mapping[str, Any], labels: Mapping[str, str], path: str) -> str:
    """Return the fingerprint, or a key of the labels: Alertmanager before 0.21 sends no fingerprint.

    Raises:
        ParseError: neither fingerprint nor labels.
    """
    fingerprint = text(alert.get("fingerprint"))
    if fingerprint:
        return fingerprint
    if not labels:
        raise ParseError.at(f"{path}.labels", "required without a fingerprint")
    return joined_key("labels", *[part for pair in sorted(labels.items()) for part in pair])


def occurred_at_of(alert: Mapping[str, Any], event_type: EventType) -> datetime | None:
    """Return the end of a recovery, else the start."""
    return moment(alert.get("endsAt" if event_type is EventType.RECOVERY else "startsAt"))


def resource_of(labels: Mapping[str, str]) -> list[str]:
    """Return the most specific label as a list of one, or []."""
    for name in RESOURCE_LABELS:
        if name in labels:
            return [labels[name]]
    return []


def info_of(alert: Mapping[str, Any], labels: dict[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """Return additional_info in upstream's layout: all labels, the links and the end."""
    info: dict[str, Any] = dict(labels)
    for name, value in (
        ("runbook_url", annotations.get("runbook_url")),
        ("generator_url", alert.get("generatorURL")),
        ("silence_url", alert.get("silenceURL")),
        ("dashboard_url", alert.get("dashboardURL")),
        ("panel_url", alert.get("panelURL")),
    ):
        if value and (found := text(value)):
            info[name] = found
    ends_at = moment(alert.get("endsAt"))
    if ends_at is not None:
        info["ends_at"] = text(alert["endsAt"])
    return info
