"""Pingdom's webhook.

Source: https://www.pingdom.com/resources/webhooks/
"""

from event_service.model.event import Severity
from event_service.normalize.tools.table import OTHER_NEWS, ToolTable

PINGDOM = ToolTable(
    name="pingdom",
    marks=("check_id", "check_name", "current_state"),
    key=("check_id",),
    titles=("check_name",),
    states=("current_state",),
    # Transaction checks fail.
    state_words={"unconfirmed_down": OTHER_NEWS},
    severities=("importance_level",),
    otherwise=Severity.CRITICAL,
    descriptions=("long_description", "description"),
    rules=("check_name",),
    resources=("check_params.hostname", "check_params.full_url"),
    starts=("state_changed_timestamp", "state_changed_utc_time"),
    ends=("state_changed_timestamp", "state_changed_utc_time"),
    info={"check_type": "check_type", "tags": "tags", "probe": "first_probe.location"},
)
