"""Apprise's `json://`, `form://` and `xml://`.

Source: https://github.com/caronc/apprise/wiki/Notify_Custom_JSON
"""

from event_service.model.event import Severity
from event_service.normalize.fields import first, first_line
from event_service.normalize.severities import State, bare_title, stateless
from event_service.normalize.tools.table import Body, ToolTable

_TYPES = {"info": State.FIRING, "warning": State.FIRING, "failure": State.FIRING, "success": State.RESOLVED}
_TITLES = ("title", "Subject", "message", "Message")


def _accepts(body: Body) -> bool:
    is_xml = "MessageType" in body and "Subject" in body
    return is_xml or ("type" in body and "title" in body and "message" in body and body["type"] in tuple(_TYPES))


def _view(body: Body) -> Body:
    title = stateless(
        bare_title(first(body.get("title"), body.get("Subject"), body.get("message"), body.get("Message")))
    )
    return {**body, "condition": first_line(title)}


APPRISE = ToolTable(
    name="apprise",
    accepts=_accepts,
    view=_view,
    key=("condition",),
    titles=_TITLES,
    states=("type", "MessageType"),
    state_words=_TYPES,
    severities=("type", "MessageType"),
    severity_words={"failure": Severity.ERROR, "success": Severity.INFO},
    descriptions=("message", "Message"),
)
