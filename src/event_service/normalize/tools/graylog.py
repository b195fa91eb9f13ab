"""Graylog's HTTP notification about an event. Graylog never says that an event is over.

Source: https://go2docs.graylog.org/current/interacting_with_your_log_data/notifications.html
"""

from event_service.model.event import Severity
from event_service.normalize.tools.table import ToolTable

GRAYLOG = ToolTable(
    name="graylog",
    marks=("event_definition_id", "event"),
    key=("event_definition_id", "event.key_tuple", "event.group_by_fields"),
    titles=("event.message", "event_definition_title"),
    severities=("event.priority",),
    severity_words={"1": Severity.INFO, "2": Severity.WARNING, "3": Severity.ERROR, "4": Severity.CRITICAL},
    descriptions=("event_definition_description",),
    rules=("event_definition_title",),
    resources=("event.key_tuple", "event.source"),
    starts=("event.timestamp",),
    info={"event_id": "event.id", "fields": "event.fields", "streams": "event.source_streams"},
)
