"""PRTG's HTTP action, with the post data of docs/collectors.md.

Source: https://www.paessler.com/manuals/prtg/notifications_based_on_sensor_states
"""

import re

from event_service.model.event import Severity
from event_service.normalize.fields import text
from event_service.normalize.severities import State
from event_service.normalize.tools.table import OTHER_NEWS, Body, ToolTable

_NOW = re.compile(r"ended \(now: *(\w+)")


def _view(body: Body) -> Body:
    """Read `Down ended (now: Up)` as the state that follows; `Down (Acknowledged)` as an acknowledgement."""
    status = text(body.get("status"))
    found = _NOW.search(status)
    if found:
        status = found[1]
    elif "acknowledged" in status.lower():
        status = "acknowledged"
    return {**body, "status": status}


PRTG = ToolTable(
    name="prtg",
    marks=("sensorid", "status"),
    view=_view,
    key=("sensorid",),
    titles=("sensor", "name", "message"),
    states=("status",),
    state_words={"unusual": State.FIRING, "paused": OTHER_NEWS, "unknown": OTHER_NEWS, "escalation": State.FIRING},
    severities=("severity",),
    severity_words={"unusual": Severity.WARNING},
    otherwise=Severity.ERROR,
    descriptions=("message", "down", "lastmessage"),
    rules=("sensor", "name"),
    resources=("device", "host"),
    starts=("datetime",),
    ends=("datetime",),
    info={name: name for name in ("probe", "group", "sensorid", "deviceid", "priority", "url")},
)
