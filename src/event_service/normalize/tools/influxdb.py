"""InfluxDB 2's HTTP notification endpoint: the row of a check's status.

Source: https://docs.influxdata.com/influxdb/v2/monitor-alert/notification-endpoints/
"""

from event_service.normalize.severities import State
from event_service.normalize.tools.table import Body, ToolTable


def _view(body: Body) -> Body:
    # What is no column of InfluxDB itself is a tag, if it is text: a status is one per series.
    tags = {name: value for name, value in body.items() if not name.startswith("_") and isinstance(value, str)}
    return {**body, "tags": tags}


INFLUXDB = ToolTable(
    name="influxdb",
    marks=("_check_id", "_level"),
    view=_view,
    key=("_check_id", "tags"),
    titles=("_check_name", "_message"),
    states=("_level",),
    state_words={"crit": State.FIRING, "warn": State.FIRING, "info": State.FIRING},
    severities=("_level",),
    descriptions=("_message",),
    rules=("_notification_rule_name", "_check_name"),
    resources=("host",),
    starts=("_status_timestamp", "_time"),
    ends=("_status_timestamp", "_time"),
    info={"tags": "tags", "measurement": "_source_measurement"},
)
