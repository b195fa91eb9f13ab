"""Alerta's alerts, as its clients and other tools that report to it send them.

Source: https://docs.alerta.io/api/alert.html
"""

from event_service.model.event import Severity
from event_service.normalize.fields import text, texts
from event_service.normalize.tools.table import Body, ToolTable


def _view(body: Body) -> Body:
    # Correlated events are states of one thing: `NodeDown` and `NodeUp`.
    correlated = texts(body.get("correlate"))
    event = "\n".join(sorted({*correlated, text(body.get("event"))})) if correlated else body.get("event")
    return {**body, "condition": event, "title": f"{text(body.get('event'))} on {text(body.get('resource'))}"}


ALERTA = ToolTable(
    name="alerta",
    marks=("environment", "resource", "event", "severity"),
    view=_view,
    key=("condition", "resource", "environment"),
    titles=("title",),
    states=("status",),
    severities=("severity",),
    severity_words={"security": Severity.CRITICAL, "indeterminate": Severity.NOT_AVAILABLE},
    descriptions=("text", "value"),
    rules=("event",),
    resources=("resource",),
    starts=("createTime",),
    ends=("createTime",),
    info={name: name for name in ("environment", "service", "group", "value", "origin", "tags", "attributes")},
)
