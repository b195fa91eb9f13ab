"""Robusta's webhook sink, with `format: json`.

Source: https://docs.robusta.dev/master/configuration/sinks/webhook.html
"""

from event_service.model.event import Severity
from event_service.normalize.tools.table import ToolTable

ROBUSTA = ToolTable(
    name="robusta",
    marks=("aggregation_key", "fingerprint", "title"),
    key=("fingerprint", "cluster_name"),
    # `[RESOLVED]` before the title is the state; `failure` is false for mere news too.
    titles=("title",),
    severities=("severity",),
    severity_words={"debug": Severity.INFO},
    descriptions=("description",),
    rules=("aggregation_key",),
    resources=("subject.name", "subject.node"),
    starts=("starts_at", "creation_date"),
    ends=("ends_at",),
    accounts=("account_id",),
    info={
        "cluster": "cluster_name",
        "namespace": "subject.namespace",
        "kind": "subject.kind",
        "source": "source",
        "labels": "subject.labels",
        "url": "investigate_uri",
    },
)
