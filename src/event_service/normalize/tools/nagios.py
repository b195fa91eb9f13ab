"""Nagios, Naemon, Icinga and Checkmk: notification commands that post macros, in any spelling.

Source: https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/notifications.html
"""

from event_service.model.event import Severity
from event_service.normalize.fields import first
from event_service.normalize.severities import State
from event_service.normalize.tools.macros import bare_name, by_bare_name
from event_service.normalize.tools.table import Body, ToolTable

_ALIASES = {
    "host": ("hostname", "host", "hostdisplayname", "hostalias"),
    "service": ("servicedesc", "servicedescription", "servicename", "service", "servicedisplayname"),
    "state": ("servicestate", "hoststate", "state"),
    "output": ("serviceoutput", "hostoutput", "output"),
    "longoutput": ("longserviceoutput", "longhostoutput", "longoutput"),
    "type": ("notificationtype", "notificationtypename"),
}
_NEWS = ("problem", "recovery")


def _accepts(body: Body) -> bool:
    if "notification" not in "\n".join(body).lower():  # one search instead of a walk: most payloads are of other tools
        return False
    names = set(map(bare_name, body))
    return "notificationtype" in names and not names.isdisjoint(_ALIASES["host"])


def _view(body: Body) -> Body:
    fields = by_bare_name(body)
    # A host's notification has a service state in tools that send all macros; its service is empty.
    view = {name: first(*map(fields.get, aliases)) for name, aliases in _ALIASES.items()}
    if not view["service"]:
        view["state"] = first(fields.get("hoststate"), fields.get("state"))
        view["output"] = first(fields.get("hostoutput"), fields.get("output"))
    kind = view["type"].lower()
    view["news"] = next(filter(kind.startswith, _NEWS), "other") if kind else ""
    view["title"] = f"{view['service']} on {view['host']}" if view["service"] else f"Host {view['host']}"
    return {**fields, **view}


NAGIOS = ToolTable(
    name="nagios",
    accepts=_accepts,
    view=_view,
    key=("host", "service"),
    titles=("title",),
    states=("news", "state"),
    # Acknowledgements, downtimes, flapping and custom notifications come with the state that the service has anyway.
    state_words={"other": State.ACKNOWLEDGED},
    severities=("state",),
    severity_words={
        "down": Severity.CRITICAL,
        "unreachable": Severity.CRITICAL,
        "unknown": Severity.NOT_AVAILABLE,
    },
    otherwise=Severity.ERROR,
    descriptions=("output", "longoutput"),
    rules=("service",),
    resources=("host",),
    # Local times come last: only the webhook's option `timezone` says what they mean.
    starts=("timet", "timestamp", "microtime", "longdatetime", "datetime", "date", "shortdatetime"),
    ends=("timet", "timestamp", "microtime", "longdatetime", "datetime", "date", "shortdatetime"),
    info={
        "address": "hostaddress",
        "state_type": "statetype",
        "long_output": "longoutput",
        "contact": "contactname",
        "check_command": "servicecheckcommand",
    },
)
