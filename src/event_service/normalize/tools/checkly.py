"""Checkly's webhook, with its default payload.

Source: https://www.checklyhq.com/docs/alerting-and-retries/webhooks/
"""

from event_service.model.event import Severity
from event_service.normalize.severities import State
from event_service.normalize.tools.table import OTHER_NEWS, ToolTable

CHECKLY = ToolTable(
    name="checkly",
    marks=("alert_type", "check_id", "check_name"),
    key=("check_id",),
    titles=("check_name",),
    states=("alert_type",),
    # The last word is the news: ALERT_DEGRADED_RECOVERY.
    state_words={
        "no_alert": OTHER_NEWS,
        "alert_ssl": State.FIRING,
        "alert_failure_remain": State.FIRING,
        "alert_degraded_remain": State.FIRING,
    },
    severities=("alert_type",),
    severity_words={
        "alert_failure": Severity.ERROR,
        "alert_failure_remain": Severity.ERROR,
        "alert_degraded_failure": Severity.ERROR,
        "alert_degraded": Severity.WARNING,
        "alert_degraded_remain": Severity.WARNING,
        "alert_failure_degraded": Severity.WARNING,
        "alert_ssl": Severity.WARNING,
        "alert_recovery": Severity.INFO,
        "alert_degraded_recovery": Severity.INFO,
    },
    otherwise=Severity.ERROR,
    descriptions=("check_error_message", "event"),
    rules=("check_name",),
    resources=("check_name",),
    starts=("started_at",),
    # The start of the check that found the recovery, not that of the alert.
    ends=("started_at",),
    info={name: name for name in ("group_name", "check_type", "region", "run_location", "link", "tags")},
)
