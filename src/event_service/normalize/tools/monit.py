"""Monit: a program that posts its variables, as in docs/collectors.md.

Source: https://mmonit.com/monit/documentation/monit.html#MANAGE-YOUR-EVENTS
"""

from event_service.model.event import Severity
from event_service.normalize.fields import text
from event_service.normalize.severities import State
from event_service.normalize.tools.macros import by_bare_name
from event_service.normalize.tools.table import OTHER_NEWS, Body, ToolTable

# Name of an event's test -> what is said when it fails, and when it succeeds again. In all others it is
# `NAME failed` and `NAME succeeded`.
_TESTS = {
    "Download bytes": ("exceeded", "ok"),
    "Upload bytes": ("exceeded", "ok"),
    "Download packets": ("exceeded", "ok"),
    "Upload packets": ("exceeded", "ok"),
    "Saturation": ("exceeded", "ok"),
    "Link": ("down", "up"),
    "Resource limit": ("matched", "succeeded"),
    "Data access": ("error", "succeeded"),
    "Content": ("match", "doesn't match"),
    "Timeout": ("", "recovery"),
    "Does not exist": ("", ""),
    "Exists": ("", ""),
}
_PLAIN = (
    "Checksum|Connection|Content|Execution|Filesystem flags|GID|Heartbeat|ICMP|Monit instance|Invalid type|Permission"
    "|PID|PPID|Size|Speed|Status|Timestamp|UID|Uptime"
)


def _events() -> dict[str, tuple[str, bool]]:
    """Return text of an event in lower case -> its test, and whether the problem is over."""
    events: dict[str, tuple[str, bool]] = {}
    for test in _PLAIN.split("|"):
        events |= {f"{test} failed": (test, False), f"{test} changed": (test, False)}
        events |= {f"{test} succeeded": (test, True), f"{test} not changed": (test, True)}
    for test, (failed, succeeded) in _TESTS.items():
        events |= {f"{test} {failed}".strip(): (test, False), f"{test} {succeeded}".strip(): (test, True)}
    events |= {"Does not exist": ("Existence", False), "Exists": ("Existence", True), "Timeout": ("Timeout", False)}
    return {name.lower(): found for name, found in events.items()}


_EVENTS = _events()


def _accepts(body: Body) -> bool:
    if "service" in body and "event" in body:  # the usual spelling, without a walk over all names
        return text(body["event"]).lower() in _EVENTS
    return "MONIT_SERVICE" in body and "MONIT_EVENT" in body


def _view(body: Body) -> Body:
    fields = by_bare_name(body)
    event = text(fields.get("event"))
    test, is_over = _EVENTS.get(event.lower(), (event, False))
    service = text(fields.get("service"))
    state = "action" if event.lower() == "action done" else "over" if is_over else "problem"
    return {**fields, "test": test, "state": state, "title": f"{service}: {test}"}


MONIT = ToolTable(
    name="monit",
    accepts=_accepts,
    view=_view,
    key=("service", "host", "test"),
    titles=("title",),
    states=("state",),
    state_words={"over": State.RESOLVED, "action": OTHER_NEWS},
    otherwise=Severity.ERROR,
    descriptions=("description",),
    rules=("service",),
    resources=("host", "service"),
    starts=("date",),
    ends=("date",),
    info={"event": "event"},
)
