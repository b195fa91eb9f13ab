"""Messages to Slack's incoming webhooks, and to chats that take the same: Mattermost, Rocket.Chat.

Source: https://api.slack.com/reference/messaging/attachments
"""

import re

from event_service.normalize.fields import first, first_line, mapping, objects, text
from event_service.normalize.result import Json
from event_service.normalize.severities import bare_title, stateless
from event_service.normalize.tools.table import Body, ToolTable

_COLORS = {"good": "ok", "danger": "critical", "warning": "warning"}
_LINK = re.compile(r"<(?:[^<>|]{1,2000}\|)?([^<>|]{1,2000})>")
_SHAPE = frozenset({"text", "attachments", "blocks"})
_MORE = ("channel", "username", "icon_url", "icon_emoji", "mrkdwn", "attachments")
_ATTACHED = ("title", "text", "fallback", "pretext", "blocks")


def _accepts(body: Body) -> bool:
    if _SHAPE.isdisjoint(body):
        return False
    if "text" in body and any(name in body for name in _MORE):
        return True
    attachments = objects(body.get("attachments"))  # Apprise has a list of files there
    return any(name in one for one in attachments for name in _ATTACHED) or bool(_texts_of(body.get("blocks")))


def _view(body: Body) -> Body:
    message, blocks = text(body.get("text")), _texts_of(body.get("blocks"))
    attached = objects(body.get("attachments"))
    top: Body = attached[0] if attached else {}
    inner = _texts_of(top.get("blocks"))
    names = ("pretext", "fallback", "text")
    title = _plain(first_line(first(top.get("title"), message, *blocks, *inner, *map(top.get, names))))
    lines = [message, *blocks, *(first(one.get("text"), one.get("fallback")) for one in attached), *inner]
    return {
        "title": title,
        "condition": stateless(bare_title(title)),
        "description": "\n".join(dict.fromkeys(filter(None, map(_plain, lines)))),
        "color": _COLORS.get(text(top.get("color")).lower(), ""),
        "ts": top.get("ts"),
        "url": top.get("title_link"),
        "image": top.get("image_url"),
        "channel": body.get("channel"),
        "username": body.get("username"),
    }


def _texts_of(blocks: Json) -> list[str]:
    """Return the texts of a message's blocks: headers and sections."""
    return [found for block in objects(blocks) if (found := text(mapping(block.get("text")).get("text")))]


def _plain(written: str) -> str:
    """Return text without the markup of links: `<https://example.org|Disk full>`."""
    return _LINK.sub(r"\1", written) if "<" in written else written


SLACK = ToolTable(
    name="slack",
    accepts=_accepts,
    view=_view,
    key=("condition",),
    titles=("title",),
    severities=("color",),
    descriptions=("description",),
    images=("image",),
    starts=("ts",),
    ends=("ts",),
    info={"url": "url", "channel": "channel", "username": "username"},
)
