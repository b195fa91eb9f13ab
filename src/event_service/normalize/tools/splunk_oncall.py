"""Splunk On-Call (VictorOps), which tools send to by its REST endpoint.

Source: https://help.victorops.com/knowledge-base/rest-endpoint-integration-guide/
"""

from event_service.normalize.severities import State
from event_service.normalize.tools.table import ToolTable

SPLUNK_ONCALL = ToolTable(
    name="splunk-oncall",
    marks=("message_type", "entity_id"),
    key=("entity_id", "routing_key"),
    titles=("entity_display_name", "entity_id"),
    states=("message_type",),
    state_words={"info": State.FIRING},
    severities=("message_type",),
    descriptions=("state_message",),
    resources=("host_name", "hostname"),
    starts=("state_start_time", "timestamp"),
    ends=("timestamp",),
    info={"entity_id": "entity_id", "monitoring_tool": "monitoring_tool", "url": "alert_url"},
)
