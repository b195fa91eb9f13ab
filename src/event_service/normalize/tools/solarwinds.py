"""SolarWinds Platform (Orion): the actions *Send a GET or POST Request* of docs/collectors.md.

Source: https://documentation.solarwinds.com/en/success_center/orionplatform/content/core-sending-a-get-or-post-request-sw2088.htm
"""

from event_service.normalize.severities import State
from event_service.normalize.tools.table import ToolTable

SOLARWINDS = ToolTable(
    name="solarwinds",
    marks=("AlertObjectID", "AlertName"),
    # Of an alert on an object; `AlertActiveID` is new each time.
    key=("AlertObjectID", "AlertName"),
    titles=("AlertName",),
    states=("AlertStatus",),
    state_words={"reset": State.RESOLVED, "triggered": State.FIRING},
    severities=("Severity",),
    descriptions=("AlertMessage",),
    rules=("AlertName",),
    resources=("NodeName", "ObjectName"),
    starts=("AlertTriggerTime",),
    ends=("AlertResetTime",),
    info={"url": "AlertDetailsUrl", "object": "ObjectName"},
)
