"""Prometheus Alertmanager's webhook, version 4.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import first, flat, text
from event_service.normalize.prometheus_labels import (
    event_key_of,
    event_type_of,
    info_of,
    note_truncation,
    occurred_at_of,
    resource_of,
)
from event_service.normalize.result import Headers, Json, Options, Parsed, many, object_of
from event_service.normalize.words import named_severity

TRUNCATED = "alerts cut off by the sender"


def recognise(payload: Json, _headers: Headers) -> bool:
    return (
        isinstance(payload, dict)
        and isinstance(payload.get("alerts"), list)
        and "groupKey" in payload
        and "orgId" not in payload
    )


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """One event per member of `alerts`, each keyed by its fingerprint."""
    body = object_of(payload)
    status, truncated = body.get("status"), body.get("truncatedAlerts")

    def read(alert: dict[str, Any], path: str) -> EventDraft:
        labels, annotations = flat(alert.get("labels")), flat(alert.get("annotations"))
        event_type = event_type_of(alert, status)
        name = labels.get("alertname", "")
        info = info_of(alert, labels, annotations)
        if truncated:
            note_truncation(info, truncated)
        return EventDraft(
            event_key=event_key_of(alert, labels, path),
            event_type=event_type,
            title=first(annotations.get("summary"), annotations.get("title"), name) or "Alertmanager alert",
            description=first(annotations.get("description"), annotations.get("message")),
            severity=_severity(labels),
            rule=labels.get("rule_group") or name,
            resources=resource_of(labels),
            additional_info=info,
            occurred_at=occurred_at_of(alert, event_type),
        )

    parsed = many(body, "alerts", read)
    if text(truncated) not in {"", "0"}:
        parsed.ignored.append(TRUNCATED)
    return parsed


def _severity(labels: dict[str, str]) -> Severity:
    """A convention of rule writers, not of Prometheus: unknown words, `none` and no label at all are INFO."""
    severity = named_severity(labels.get("severity"))
    return Severity.INFO if severity is None or severity is Severity.NONE else severity
