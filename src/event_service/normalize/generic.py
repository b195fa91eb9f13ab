"""Any other JSON object with the usual field names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, first, first_line, joined_key, mapping, text, texts
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

# Normalized names: letters and digits only, in lower case, so that alertName, alert_name and "Alert Name" are equal.
# The first name with a usable value wins.
_HEADLINES = "title alerttitle summary subject headline firstline alertname name shortdescription entitydisplayname"
_MESSAGES = (
    "message msg problem statemessage eventmessage description text event output serviceoutput hostoutput info reason"
    " details detail"
)
# Ids that mean one condition wherever they are sent from.
_KEYS = (
    "eventkey dedupkey dedupekey deduplicationkey dedupid fingerprint incidentkey alertkey alertuid alerthash entityid"
)
# Ids that many tools count per host, or per check.
_IDS = "alertid alarmid incidentid problemid issueid uid monitorid checkid testid probeid sensorid"
_RULE_IDS = "ruleid alertruleid triggerid conditionid eventdefinitionid policyid"
_CHECKS = (
    "servicedescription servicedesc servicename service check checkname alertname alarm alarmname alert rule rulename"
    " alertrule trigger triggername monitor monitorname sensor sensorname probe probename testname scenario metric"
    " metricname conditionname"
)
# They tell conditions of one name on one host apart.
_PARTS = (
    "chart device mount mountpoint filesystem interface ifname component container pod namespace queue dimension"
    " dimensions environment cluster clustername"
)
_SEVERITIES = "severity alertseverity severitylevel level alertlevel loglevel criticality"
_PRIORITIES = "priority alertpriority urgency importance importancelevel"
_STATES = (
    "notificationtype messagetype status state alertstatus alertstate servicestate hoststate currentstate newstate"
    " currentstatus newstatus monitorstatus transition alerttransition alerttype eventtype action eventaction type"
    " event"
)
_DESCRIPTIONS = (
    "description message body details detail text content reason output serviceoutput hostoutput statemessage info msg"
    " additionalinfo longoutput"
)
_STARTS = (
    "occurredat timestamp time startsat startedat startat starttime triggeredat firedat eventtime datetime date when"
    " createdat created statechangedtimestamp longdatetime shortdatetime localdatetime"
)
# Never the start: it would make the recovery as old as its alert.
_ENDS = (
    "resolvedat recoveredat closedat endsat endedat endtime recoverytime updatedat occurredat timestamp time eventtime"
    " datetime date when statechangedtimestamp longdatetime shortdatetime localdatetime"
)
_RESOURCES = (
    "resource resources resourcename host hostname hosts hostalias hostaddress instance node nodename device server"
    " servername entity target targets subject source sourceid sourceidentifier sourcearn ip ipaddress address"
    " service"
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
_FLAGS = (("resolved", True), ("isresolved", True), ("recovered", True), ("isactive", False), ("isfiring", False))
_STATE_NUMBERS = ("servicestateid", "hoststateid", "stateid")  # Nagios and its kin: 0 is OK or UP


def names_of(words: str) -> tuple[str, ...]:
    """Return the names of a table, the first of which wins."""
    return tuple(words.split())


HEADLINES, MESSAGES, KEYS, IDS = map(names_of, (_HEADLINES, _MESSAGES, _KEYS, _IDS))
TITLES = HEADLINES + MESSAGES
CHECKS, RULE_IDS, PARTS = map(names_of, (_CHECKS, _RULE_IDS, _PARTS))
SEVERITIES, PRIORITIES = map(names_of, (_SEVERITIES, _PRIORITIES))
STATES, DESCRIPTIONS, STARTS, ENDS = map(names_of, (_STATES, _DESCRIPTIONS, _STARTS, _ENDS))
RESOURCES, RULES, IMAGES, LINKS = map(names_of, (_RESOURCES, _RULES, _IMAGES, _LINKS))


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
                    fields.setdefault("".join(filter(str.isalnum, name.lower())), value)
        return cls(fields)

    def values(self, names: Iterable[str]) -> Iterable[Any]:
        fields = self.fields
        return (fields[name] for name in names if name in fields)

    def first(self, names: Iterable[str]) -> str:
        return first(*self.values(names))

    def severity(self, options: Options) -> tuple[Severity | None, str]:
        """Return the severity and "", or WARNING and a remark if it is a word of no table; None without any word."""
        is_known = True
        for value in self.values(SEVERITIES):
            if (severity := chosen_severity(value, options)) is not None:
                return severity, ""
            is_known = is_known and (not text(value) or means_over(value))
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
        numbers = [text(value) for value in self.values(_STATE_NUMBERS)]
        if numbers:
            return State.RESOLVED if numbers[0] == "0" else State.FIRING
        return None

    def moment(self, state: State) -> datetime | None:
        for value in self.values(ENDS if state is State.RESOLVED else STARTS):
            if (found := moment(value)) is not None:
                return found
        return None

    def resources(self) -> list[str]:
        """Return the first non-empty field as names: a name, a list of names, or objects that have one."""
        for name in RESOURCES:
            value = self.fields.get(name)
            if value is None or (name in _RESOURCE_OBJECTS and not isinstance(value, dict)):
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
        told_apart = (*ids, "", *rules, "", *parts, "")
        return joined_key("generic-check", check, name and stateless(name), *told_apart, *resources)


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
    named = NamedFields.of(body)
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
        provider=named.first(("provider", "cloudprovider")),
        account=named.first(("account", "accountid")),
        additional_info=extra_fields(
            url=named.first(LINKS),
            source=named.first(("source", "origin")),
            environment=named.first(("environment", "env")),
            labels=named.fields.get("labels"),
            tags=named.fields.get("tags"),
        ),
        occurred_at=named.moment(state),
        remark=remark,
    )


def _titles(named: NamedFields) -> tuple[str, str]:
    """Return headline and message; a headline that is only a state (`PROBLEM`) is none."""
    headline, message = named.first(HEADLINES), named.first(MESSAGES)
    return ("" if message and is_state(headline) else headline), message


def _name_of(resource: Mapping[str, Any]) -> str:
    item = mapping(resource)
    return first(*(item.get(name) for name in ("name", "resource_name", "hostname", "host", "value", "ip", "id")))
