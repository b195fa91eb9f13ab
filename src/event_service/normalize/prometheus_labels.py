"""What Alertmanager's and Grafana's alerts have in common: labels, annotations, fingerprint, start and end."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from event_service.model.event import EventType
from event_service.normalize.fields import text
from event_service.normalize.keys import joined_key
from event_service.normalize.result import Json, Unreadable
from event_service.normalize.times import moment

# The first of these labels that an alert has names what it is about. The order is that of upstream's Prometheus plugin.
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


def event_type_of(alert: Mapping[str, Any], group_status: Json) -> EventType:
    """By the alert's own status: that of the group says nothing about its members."""
    status = text(alert.get("status")) or text(group_status)
    return EventType.RECOVERY if status.lower() == "resolved" else EventType.ALERT


def event_key_of(alert: Mapping[str, Any], labels: Mapping[str, str], path: str) -> str:
    """The fingerprint; Alertmanager before 0.21 sent none, then the labels that it is made of.

    Raises:
        Unreadable: neither is there.
    """
    fingerprint = text(alert.get("fingerprint"))
    if fingerprint:
        return fingerprint
    if not labels:
        raise Unreadable.at(f"{path}.labels", "must be given where there is no fingerprint")
    return joined_key("labels", *[part for pair in sorted(labels.items()) for part in pair])


def occurred_at_of(alert: Mapping[str, Any], event_type: EventType) -> datetime | None:
    """When it ended for a recovery, else when it started."""
    return moment(alert.get("endsAt" if event_type is EventType.RECOVERY else "startsAt"))


def resource_of(labels: Mapping[str, str]) -> list[str]:
    """The most telling label, as a list of one; [] where there is none."""
    for name in RESOURCE_LABELS:
        if name in labels:
            return [labels[name]]
    return []


def info_of(alert: Mapping[str, Any], labels: dict[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """additional_info as upstream's plugin lays it out: all labels, and beside them the links and the end."""
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


def note_truncation(info: dict[str, Any], truncated: Json) -> None:
    """Says in the event that members of its group were cut off by the sender's max_alerts, and are lost."""
    count = text(truncated)
    if count not in {"", "0"}:
        info["truncated_alerts"] = count
