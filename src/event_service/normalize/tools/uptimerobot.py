"""UptimeRobot's webhook: a query string, a form or the JSON of docs/collectors.md.

Source: https://help.uptimerobot.com/en/articles/11358457-webhook-alerts-and-notification-in-uptimerobot
"""

from event_service.model.event import Severity
from event_service.normalize.severities import State
from event_service.normalize.tools.table import ToolTable

UPTIMEROBOT = ToolTable(
    name="uptimerobot",
    marks=("monitorID", "alertType"),
    key=("monitorID",),
    titles=("monitorFriendlyName", "monitorURL"),
    states=("alertType",),
    # 3 is a certificate or a domain that expires soon.
    state_words={"1": State.FIRING, "2": State.RESOLVED, "3": State.FIRING},
    severities=("alertType",),
    severity_words={"1": Severity.CRITICAL, "2": Severity.INFO, "3": Severity.WARNING},
    descriptions=("alertDetails",),
    rules=("monitorFriendlyName",),
    resources=("monitorURL",),
    starts=("alertDateTime",),
    ends=("alertDateTime",),
    info={"duration": "alertDuration", "ssl_expiry": "sslExpiryDate", "type": "alertTypeFriendlyName"},
)
