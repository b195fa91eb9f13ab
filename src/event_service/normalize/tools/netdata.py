"""Netdata: the agent's custom sender of docs/collectors.md, and Netdata Cloud's webhook.

Source: https://learn.netdata.cloud/docs/alerts-and-notifications/notifications/agent-alert-notifications/custom-endpoint
and https://learn.netdata.cloud/docs/alerting/notifications/centralized-cloud-notifications/webhook
"""

from event_service.model.event import Severity
from event_service.normalize.severities import State
from event_service.normalize.tools.table import OTHER_NEWS, ToolTable

# `removed` is what remains of an alarm whose chart is gone.
_STATUS: dict[str, State | str] = {
    "clear": State.RESOLVED,
    "removed": State.RESOLVED,
    "undefined": OTHER_NEWS,
    "uninitialized": OTHER_NEWS,
}

NETDATA = ToolTable(
    name="netdata",
    marks=("chart", "status", "old_status", "host"),
    # `alarm_id` counts per host.
    key=("name", "host", "chart"),
    titles=("name",),
    states=("status",),
    state_words=_STATUS,
    severities=("status",),
    descriptions=("info",),
    rules=("name",),
    resources=("host",),
    starts=("when",),
    ends=("when",),
    info={name: name for name in ("chart", "family", "value_string", "units", "src", "url", "alarm_id")},
)

NETDATA_CLOUD = ToolTable(
    name="netdata-cloud",
    marks=("alert", "chart", "space", "severity"),
    key=("alert", "chart", "context", "family", "space", "host"),
    titles=("alert",),
    states=("severity",),
    state_words=_STATUS,
    severities=("severity",),
    descriptions=("message", "info"),
    rules=("alert",),
    resources=("host", "chart"),
    starts=("date",),
    ends=("date",),
    info={name: name for name in ("space", "Rooms", "context", "class", "duration", "info", "alert_url")},
)

NETDATA_REACHABILITY = ToolTable(
    name="netdata-reachability",
    marks=("status", "host", "severity"),
    accepts=lambda body: isinstance(body["status"], dict) and "reachable" in body["status"],
    key=("host",),
    titles=("host",),
    states=("status.reachable",),
    state_words={"true": State.RESOLVED, "false": State.FIRING},
    severities=("severity",),
    otherwise=Severity.CRITICAL,
    descriptions=("message",),
    resources=("host",),
    info={"url": "url"},
)
