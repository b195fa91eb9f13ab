"""Any other JSON object with the usual field names."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import (
    extra_fields,
    first,
    first_line,
    joined_key,
    mapping,
    read_inner_json,
    text,
    texts,
)
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import (
    UNKNOWN_SEVERITY,
    State,
    bare_title,
    chosen_severity,
    is_reachability,
    is_state,
    means_over,
    named_state,
    priority_severity,
    recovery_severity,
    rising_severity,
    severity_of_state,
    state_in_title,
    stateless,
)
from event_service.normalize.splitting import per_item, single
from event_service.normalize.timestamps import moment

ACKNOWLEDGED = "acknowledge"

Names: TypeAlias = Mapping[str, int]  # name -> rank

# Normalized names: letters and digits only, in lower case, so that alertName, alert_name and "Alert Name" are equal.
# The first name with a usable value wins.
_HEADLINES = (
    "title alerttitle summary subject headline firstline alertname problemtitle monitorfriendlyname"
    " searchname name shortdescription entitydisplayname"
)
_MESSAGES = (
    "message msg problem statemessage eventmessage description text event output serviceoutput hostoutput info reason"
    " details detail"
)
# Ids that mean one condition wherever they are sent from.
_KEYS = (
    "eventkey dedupkey dedupekey deduplicationkey dedupid fingerprint incidentkey alertkey alertuid alerthash entityid"
    " alertuniqueidentifier"
)
# Ids that many tools count per host, or per check.
_IDS = "alertid alarmid incidentid problemid issueid uid monitorid checkid testid probeid sensorid"
_RULE_IDS = "ruleid alertruleid triggerid conditionid eventdefinitionid policyid"
_CHECKS = (
    "servicedescription servicedesc servicename service check checkname alertname alarm alarmname alert rule rulename"
    " alertrule trigger triggername monitor monitorname sensor sensorname probe probename testname scenario metric"
    " metricname conditionname monitorfriendlyname searchname"
)
# They tell conditions of one name on one host apart.
_PARTS = (
    "chart device mount mountpoint filesystem interface ifname component container pod namespace queue dimension"
    " dimensions environment cluster clustername"
)
_SEVERITIES = "severity alertseverity severitylevel level alertlevel alarmlevel triggerlevel loglevel criticality"
_PRIORITIES = "priority alertpriority urgency importance importancelevel"
_STATES = (
    "notificationtype status state alertstatus alertstate servicestate hoststate currentstate newstate"
    " currentstatus newstatus monitorstatus alarmstatus transition alerttransition alertaction"
    " messagetype alerttypefriendlyname alerttype eventtype action eventaction type event"
)
_DESCRIPTIONS = (
    "description message body details detail text content reason output serviceoutput hostoutput statemessage info msg"
    " additionalinfo longoutput"
)
_STARTS = (
    "occurredat timestamp time startsat startedat startat starttime triggeredat firedat eventtime datetime date when"
    " createdat created statechangedtimestamp longdatetime shortdatetime localdatetime openedat startdate triggertime"
    " alerttriggertime alerttime alertdatetime incidenttime incidentstarttime problemstarttime firstoccurtime"
    " firstoccurrence detectedat detectiontime eventdatetime eventtimestamp clock ts"
)
# Never the start: it would make the recovery as old as its alert.
_ENDS = (
    "resolvedat recoveredat closedat canceldate recovertime endsat endedat endtime recoverytime updatedat updatedate"
    " occurredat timestamp time eventtime"
    " datetime date when statechangedtimestamp longdatetime shortdatetime localdatetime"
    " alertdatetime eventdatetime eventtimestamp clock ts"
)
_RESOURCES = (
    "resource resources resourcename instancename host hostname hosts hostalias hostaddress instance node nodename"
    " device server"
    " servername entity target targets subject source sourceid sourceidentifier sourcearn ip ipaddress address"
    " impactedentity impactedentities service"
)
_RULES = "rule rulename alertrule policy policyname alertname check checkname service servicedescription servicename"
_IMAGES = "imageurl image snapshoturl snapshot"
_LINKS = "url link weburl alerturl incidenturl generatorurl"

# Objects that wrap the event, and lists of events.
_WRAPPERS = ("alert", "incident", "event", "problem", "issue", "payload", "data", "detail", "details", "attributes")
_LISTS = ("alerts", "events", "incidents", "problems", "items", "records")

# Only an object of these names is a resource; a text is a title or the name of the sending tool.
_RESOURCE_OBJECTS = frozenset({"subject", "source"})
# Booleans, and the value that means that the alert is over.
_FLAGS = (
    ("resolved", True),
    ("isresolved", True),
    ("recovered", True),
    ("isactive", False),
    ("isopen", False),
    ("isfiring", False),
)
# 0 is OK: Nagios and its kin, LibreNMS, Tencent Cloud. A `status` of 0 may be the contrary.
_STATE_NUMBERS = "servicestateid hoststateid stateid state alertstate alarmstatus"
_NOT_GIVEN = frozenset({"", "null", "nil", "undefined", "-"})
_LONGEST_NAME = 100
_by_rank = itemgetter(0)
_ENDED = "resolvedat recoveredat closedat recovertime canceldate"


def names_of(*words: str) -> Names:
    """Return a table of names by rank; the first wins."""
    return {name: rank for rank, name in reversed([*enumerate(" ".join(words).split())])}


HEADLINES, MESSAGES, TITLES = names_of(_HEADLINES), names_of(_MESSAGES), names_of(_HEADLINES, _MESSAGES)
KEYS, IDS, CHECKS, RULE_IDS, PARTS = map(names_of, (_KEYS, _IDS, _CHECKS, _RULE_IDS, _PARTS))
SEVERITIES, PRIORITIES, STATES, DESCRIPTIONS = map(names_of, (_SEVERITIES, _PRIORITIES, _STATES, _DESCRIPTIONS))
STARTS, ENDS, RESOURCES, RULES = map(names_of, (_STARTS, _ENDS, _RESOURCES, _RULES))
IMAGES, LINKS, STATE_NUMBERS, ENDED = map(names_of, (_IMAGES, _LINKS, _STATE_NUMBERS, _ENDED))
_PROVIDERS, _ACCOUNTS, _SOURCES, _ENVIRONMENTS = map(
    names_of, ("provider cloudprovider", "account accountid", "source origin", "environment env")
)


@dataclass(frozen=True, slots=True)
class NamedFields:
    """Fields of an object by normalized name."""

    fields: Mapping[str, Any]

    @classmethod
    def of(cls, *items: Mapping[str, Any]) -> "NamedFields":
        """Return the fields of the items; earlier items take precedence."""
        fields: dict[str, Any] = {}
        for item in items:
            for name, value in item.items():
                if value is not None:
                    fields.setdefault(_normalized(name), value)
        return cls(fields)

    def values(self, names: Names) -> list[Any]:
        """Return the values of the fields of these names, in the order of the names."""
        found = [(names[name], value) for name, value in self.fields.items() if name in names]
        if len(found) > 1:
            found.sort(key=_by_rank)
        return [value for _, value in found]

    def first(self, names: Names) -> str:
        return first(*self.values(names))

    def severity(self, options: Options) -> tuple[Severity | None, str]:
        """Return the severity and "", or WARNING and a remark if it is a word of no table; None without any word."""
        is_known = True
        for value in self.values(SEVERITIES):
            if (severity := chosen_severity(value, options)) is not None:
                return severity, ""
            is_known = is_known and (text(value).lower() in _NOT_GIVEN or means_over(value))
        # Priorities last: their numbers are less specific than a severity.
        scale = rising_severity if "eventdefinitionid" in self.fields else priority_severity  # Graylog
        for value in self.values(PRIORITIES):
            if (severity := chosen_severity(value, options) or scale(value)) is not None:
                return severity, ""
        for value in self.values(STATES):
            if (severity := severity_of_state(value)) is not None:
                return severity, ""
        return (None, "") if is_known else (Severity.WARNING, UNKNOWN_SEVERITY)

    def state(self) -> State | None:
        fields = self.fields
        if text(fields.get("notificationtype")).lower() == "custom":  # elsewhere no word about a state
            return State.ACKNOWLEDGED
        for name, over in _FLAGS:
            if fields.get(name) is over:
                return State.RESOLVED
        for value in self.values(STATES):
            if (state := named_state(value)) is not None:
                return state
        if any(means_over(value) for value in self.values(SEVERITIES)):
            return State.RESOLVED
        number = self.first(STATE_NUMBERS)
        is_over = number == "0" if number.isdigit() else any(map(moment, self.values(ENDED)))
        return State.RESOLVED if is_over else None

    def moment(self, state: State) -> datetime | None:
        for value in self.values(ENDS if state is State.RESOLVED else STARTS):
            if (found := moment(value)) is not None:
                return found
        return None

    def resources(self) -> list[str]:
        """Return the first non-empty field as names: a name, a list of names, or objects that have one."""
        fields = self.fields
        for name in sorted(RESOURCES.keys() & fields.keys(), key=RESOURCES.__getitem__):
            value = fields[name]
            if name in _RESOURCE_OBJECTS and not isinstance(value, dict):
                continue
            members = value if isinstance(value, list) else [value]
            found = texts([_name_of(member) if isinstance(member, dict) else member for member in members])
            if found:
                return found
        return []

    def check(self) -> str:
        """Return the name of the check, rule or service, or ""."""
        for value in self.values(CHECKS):
            if type(value) is str and (found := value.strip()):
                return found
        event = self.fields.get("event")
        # `Connection failed` and `Connection succeeded` are of one check; `trigger`, `alert.created` are none.
        return stateless(event.strip()) if type(event) is str and not is_state(event) and "." not in event else ""

    def identity(self, headline: str, message: str, resources: list[str]) -> str:
        """Return the event_key: a global id, else resource and check.

        A headline counts unless something more exact is there. A message counts only without a check: its text moves.

        Args:
            headline, message: without marks of the state, "" if not given.
        """
        if key := self.first(KEYS):
            return key
        check = self.check()
        ids, rules, parts = ([*filter(None, map(text, self.values(names)))] for names in (IDS, RULE_IDS, PARTS))
        # A host that is down is a condition of its own, whatever the text.
        is_host = bool(resources) and not (check or headline) and any(map(is_reachability, self.values(STATES)))
        if not (ids or rules or parts or is_host) and (not check or (headline and resources == [check])):
            return joined_key("generic", stateless(headline or message), *resources)
        is_exact = bool(ids) or bool((check or rules) and resources and "service" not in self.fields)
        name = "" if is_exact or is_host else headline or ("" if check else message)
        details = (*ids, "", *rules, "", *parts, "")
        return joined_key("generic-check", check, name and stateless(name), *details, *resources)


# The field names of one tool are few, and the same in every payload.
@lru_cache(maxsize=4096)
def _normalized(name: str) -> str:
    return "".join(filter(str.isalnum, name[:_LONGEST_NAME].lower()))


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict)


def parse(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return one event, or one per member if the payload has no title but a list of events."""
    body = object_of(payload)
    # A title means that the payload is the event, and its list only a detail.
    for name in _LISTS:
        if isinstance(body.get(name), list) and body[name] and not NamedFields.of(body).first(TITLES):
            return per_item(body, name, lambda member, path: read_event(member, f"{path}.", options))
    return single(body, read_event(body, "", options))


def read_event(body: Mapping[str, Any], prefix: str, options: Options) -> EventDraft | str:
    """Return one event by the usual field names, or the reason to ignore it.

    Args:
        prefix: path of the object in its payload, "" or ending in a dot.
        options: `values.severity` translates severities.

    Raises:
        ParseError: no title.
    """
    inner = _object_in_text(body.get("message"))
    named = NamedFields.of(inner, mapping(inner.get("template_variable")), body) if inner else NamedFields.of(body)
    for wrapper in _WRAPPERS:
        if isinstance(body.get(wrapper), dict):
            named = NamedFields.of(body, body[wrapper])
            break
    headline, message = _titles(named)
    check = named.check()
    resources = named.resources()
    written = headline or message or check or next(iter(resources), "") or named.first(KEYS)
    if not written:
        raise ParseError.at(f"{prefix}title", "required: none of title, summary, message, name, ... has text")
    mark = state_in_title(first_line(written))
    # `Service ACKNOWLEDGEMENT notification` comes with the state that the service has.
    state = named_state(mark)
    if state is not State.ACKNOWLEDGED:
        state = named.state() or state or State.FIRING
    if state is State.ACKNOWLEDGED:
        return ACKNOWLEDGED
    headline, message = first_line(bare_title(headline)), first_line(bare_title(message))
    title = headline or message or first_line(bare_title(written))
    if check and not headline and check not in title:
        title = first_line(f"{check}: {title}")
    severity, remark = named.severity(options)
    if severity is None and state is State.FIRING:
        severity = severity_of_state(mark)
    description = named.first(DESCRIPTIONS)
    return EventDraft(
        event_key=named.identity(headline, message, resources),
        event_type=state.event_type,
        title=title,
        description="" if description == title else description,
        severity=recovery_severity(severity, state.event_type, Severity.NONE),
        rule=named.first(RULES) or check,
        image_url=named.first(IMAGES),
        resources=resources,
        provider=named.first(_PROVIDERS),
        account=named.first(_ACCOUNTS),
        additional_info=extra_fields(
            url=named.first(LINKS),
            source=named.first(_SOURCES),
            environment=named.first(_ENVIRONMENTS),
            labels=named.fields.get("labels"),
            tags=named.fields.get("tags"),
        ),
        occurred_at=named.moment(state),
        remark=remark,
    )


def _object_in_text(message: Json) -> Mapping[str, Any]:
    """Return the object that a message holds as JSON, as Huawei's SMN and other queues deliver it, or an empty one."""
    if type(message) is not str or message.lstrip()[:1] != "{":
        return {}
    try:
        return mapping(read_inner_json(message.encode("utf-8", "surrogatepass"), "message"))
    except (ValueError, ParseError):  # a text after all
        return {}


def _titles(named: NamedFields) -> tuple[str, str]:
    """Return headline and message; a headline that is only a state (`PROBLEM`) is none."""
    headline, message = named.first(HEADLINES), named.first(MESSAGES)
    return ("" if message and is_state(headline) else headline), message


def _name_of(resource: Mapping[str, Any]) -> str:
    item = mapping(resource)
    return first(*(item.get(name) for name in ("name", "resource_name", "hostname", "host", "value", "ip", "id")))
