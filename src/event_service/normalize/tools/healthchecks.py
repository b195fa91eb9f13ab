"""Healthchecks, whose webhook has `$JSON` as the body.

Source: https://healthchecks.io/docs/configuring_notifications/#webhooks
"""

from event_service.model.event import Severity
from event_service.normalize.fields import first
from event_service.normalize.tools.table import OTHER_NEWS, ToolTable

HEALTHCHECKS = ToolTable(
    name="healthchecks",
    marks=("n_pings", "status", "name"),
    view=lambda body: {
        **body,
        "id": first(body.get("uuid"), body.get("unique_key"), body.get("slug"), body.get("name")),
    },
    key=("id",),
    titles=("name", "slug"),
    states=("status",),
    state_words={"grace": OTHER_NEWS, "new": OTHER_NEWS, "paused": OTHER_NEWS, "started": OTHER_NEWS},
    otherwise=Severity.CRITICAL,
    descriptions=("desc",),
    rules=("name",),
    resources=("name",),
    # No field says since when a check is late, so the time of receipt counts, at the end too.
    info={"tags": "tags", "last_ping": "last_ping", "url": "badge_url"},
)
