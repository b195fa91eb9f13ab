"""LibreNMS's API transport, with the body of docs/collectors.md.

Source: https://docs.librenms.org/Alerting/Transports/API/
"""

from event_service.normalize.severities import State
from event_service.normalize.tools.table import ToolTable

LIBRENMS = ToolTable(
    name="librenms",
    marks=("rule_id", "hostname", "state"),
    # Alerts are counted per alert, not per condition: `alert_id` is new each time.
    key=("hostname", "rule_id"),
    titles=("rule", "name", "title"),
    states=("state",),
    # Worse, better and changed: the alert goes on.
    state_words={
        "0": State.RESOLVED,
        "1": State.FIRING,
        "2": State.ACKNOWLEDGED,
        "3": State.FIRING,
        "4": State.FIRING,
        "5": State.FIRING,
    },
    severities=("severity",),
    descriptions=("message", "msg", "title"),
    rules=("rule", "name"),
    resources=("sysName", "hostname"),
    starts=("timestamp",),
    ends=("timestamp",),
    info={name: name for name in ("alert_id", "uid", "rule_id", "elapsed", "location", "url")},
)
