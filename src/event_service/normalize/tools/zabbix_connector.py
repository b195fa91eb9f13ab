"""Zabbix's connectors (6.4 and newer), which stream events as JSON lines, one event each.

Source: https://www.zabbix.com/documentation/current/en/manual/config/export/streaming
"""

from event_service.model.event import Severity
from event_service.normalize.fields import first, objects, text
from event_service.normalize.severities import State
from event_service.normalize.tools.table import Body, ToolTable


def _view(body: Body) -> Body:
    if "itemid" in body:  # a connector of item values
        return {"value": "item"}
    problem_id = text(body.get("p_eventid"))  # a recovery has this id only
    return {
        **body,
        "id": problem_id or body.get("eventid"),
        "name": body.get("name") or f"Zabbix problem {problem_id}",
        "hosts": [first(host.get("name"), host.get("host")) for host in objects(body.get("hosts"))],
    }


ZABBIX_CONNECTOR = ToolTable(
    name="zabbix-connector",
    marks=("clock", "ns", "value"),
    view=_view,
    key=("id",),
    titles=("name",),
    states=("value",),
    state_words={"1": State.FIRING, "0": State.RESOLVED, "item": "item value"},
    severities=("severity",),
    severity_words={
        "5": Severity.CRITICAL,
        "4": Severity.ERROR,
        "3": Severity.WARNING,
        "2": Severity.WARNING,
        "1": Severity.INFO,
        "0": Severity.NONE,
    },
    resources=("hosts",),
    starts=("clock",),
    ends=("clock",),
    info={"event_id": "id", "groups": "groups"},
)
