"""Grafana OnCall: its formatted webhook, which tools send to, and its own outgoing webhooks.

Source: https://grafana.com/docs/oncall/latest/configure/integrations/references/webhook/
and https://grafana.com/docs/oncall/latest/configure/outgoing-webhooks/
"""

from event_service.model.event import Severity
from event_service.normalize.severities import State
from event_service.normalize.tools.table import OTHER_NEWS, ToolTable

GRAFANA_ONCALL = ToolTable(
    name="grafana-oncall",
    marks=("alert_uid",),
    key=("alert_uid",),
    titles=("title", "message"),
    states=("state",),
    severities=("severity",),
    descriptions=("message",),
    images=("image_url",),
    resources=("host", "hostname"),
    info={"url": "link_to_upstream_details"},
)

GRAFANA_ONCALL_WEBHOOK = ToolTable(
    name="grafana-oncall-webhook",
    marks=("alert_group", "event"),
    key=("alert_group.id",),
    titles=("alert_group.title",),
    states=("event.type", "alert_group.state"),
    state_words={
        "alert group created": State.FIRING,
        "escalation": State.FIRING,
        "manual": State.FIRING,
        "unresolve": State.FIRING,
        "unacknowledge": OTHER_NEWS,
        "silence": OTHER_NEWS,
        "unsilence": OTHER_NEWS,
        "status change": OTHER_NEWS,
        "personal notification": OTHER_NEWS,
    },
    severities=("alert_payload.labels.severity", "alert_payload.commonLabels.severity"),
    otherwise=Severity.ERROR,
    descriptions=("alert_payload.message",),
    resources=("integration.name",),
    starts=("event.time", "alert_group.created_at"),
    ends=("alert_group.resolved_at", "event.time"),
    info={"url": "alert_group.permalinks.web", "alerts": "alert_group.alerts_count"},
)
