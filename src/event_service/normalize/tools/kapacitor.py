"""Kapacitor's HTTP post handler.

Source: https://docs.influxdata.com/kapacitor/v1/reference/event_handlers/post/
"""

from event_service.normalize.fields import mapping, objects
from event_service.normalize.severities import State
from event_service.normalize.tools.table import Body, ToolTable


def _view(body: Body) -> Body:
    series = objects(mapping(body.get("data")).get("series"))
    return {**body, "tags": mapping(series[0].get("tags"))} if series else body


KAPACITOR = ToolTable(
    name="kapacitor",
    view=_view,
    marks=("previousLevel", "level", "id"),
    key=("id",),
    titles=("id",),
    states=("level",),
    state_words={"info": State.FIRING},
    severities=("level",),
    descriptions=("message", "details"),
    rules=("id",),
    resources=("tags.host",),
    starts=("time",),
    ends=("time",),
    info={"duration": "duration", "tags": "tags", "previous_level": "previousLevel"},
)
