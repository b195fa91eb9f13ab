"""Uptime Kuma's webhook, with the body `application/json` or `multipart/form-data`.

Source: https://github.com/louislam/uptime-kuma/wiki/Notification-Methods
"""

from datetime import UTC

from event_service.model.event import Severity
from event_service.normalize.fields import text
from event_service.normalize.severities import State
from event_service.normalize.tools.table import OTHER_NEWS, TEST, Body, ToolTable


def _view(body: Body) -> Body:
    if isinstance(body.get("heartbeat"), dict):
        return body
    # Without a monitor it is the test button's message, or news about a certificate.
    message = text(body.get("msg"))
    state = "test" if message.endswith(" Testing") else "0"
    name = message.partition(" will expire")[0]
    return {"monitor": {"name": name}, "heartbeat": {"status": state}, "msg": message, "severity": "warning"}


UPTIME_KUMA = ToolTable(
    name="uptime-kuma",
    marks=("heartbeat", "monitor", "msg"),
    view=_view,
    # Every installation counts its monitors from 1.
    key=("monitor.name", "monitor.id"),
    titles=("monitor.name", "msg"),
    states=("heartbeat.status",),
    state_words={"0": State.FIRING, "1": State.RESOLVED, "2": OTHER_NEWS, "3": OTHER_NEWS, "test": TEST},
    severities=("severity",),
    otherwise=Severity.CRITICAL,
    descriptions=("heartbeat.msg", "msg"),
    resources=("monitor.name", "monitor.hostname", "monitor.url"),
    starts=("heartbeat.time",),
    ends=("heartbeat.time",),
    zone=UTC,
    info={"monitor_id": "monitor.id", "type": "monitor.type", "port": "monitor.port", "path": "monitor.pathName"},
)
