"""Prometheus Alertmanager's webhook, version 4.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import first
from event_service.normalize.prometheus_labels import Alert, parse_alerts, resource_of
from event_service.normalize.result import Headers, Json, Options, Parsed
from event_service.normalize.severities import chosen_severity
from event_service.normalize.splitting import every_member


def detect(payload: Json, _headers: Headers) -> bool:
    if not isinstance(payload, dict) or "orgId" in payload:  # Grafana sends groupKey too
        return False
    alerts = payload.get("alerts")
    # Relays and payload templates leave the group's fields out.
    return isinstance(alerts, list) and ("groupKey" in payload or every_member(alerts, _is_alert))


def _is_alert(member: dict[str, Any]) -> bool:
    return isinstance(member.get("labels"), dict) and ("status" in member or "startsAt" in member)


def parse(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return one event per member of `alerts`, keyed by its fingerprint."""
    parsed = parse_alerts(payload, lambda alert: _draft(alert, options))
    # Two peers of one cluster send the same alerts, each with its own address.
    parsed.varying = "externalURL"
    return parsed


def _draft(alert: Alert, options: Options) -> EventDraft:
    labels, annotations = alert.labels, alert.annotations
    name = labels.get("alertname", "")
    return EventDraft(
        event_key=alert.event_key,
        event_type=alert.event_type,
        title=first(annotations.get("summary"), annotations.get("title"), name) or "Alertmanager alert",
        description=first(annotations.get("description"), annotations.get("message")),
        severity=_severity(labels, options),
        rule=labels.get("rule_group") or name,
        resources=resource_of(labels),
        additional_info=alert.info,
        occurred_at=alert.occurred_at,
    )


def _severity(labels: dict[str, str], options: Options) -> Severity:
    """Return the severity of the label, a mere convention; INFO for unknown words, `none` and no label."""
    severity = chosen_severity(labels.get("severity"), options)
    return Severity.INFO if severity is None or severity is Severity.NONE else severity
