"""Any other JSON object with the usual field names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, first, first_line, joined_key, mapping, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import (
    State,
    bare_title,
    named_severity,
    named_state,
    priority_severity,
    recovery_severity,
)
from event_service.normalize.splitting import per_item, single
from event_service.normalize.timestamps import moment

ACKNOWLEDGED = "acknowledge"

# Normalized names: lower-case letters and digits only, so that alertName, alert_name and "Alert Name" are equal.
# The first name with a usable value wins.
_TITLES = (
    "title alerttitle summary subject first_line alertname name shortdescription message msg problem"
    " description text event"
)
_KEYS = (
    "eventkey dedupkey deduplicationkey fingerprint incidentkey alertkey problemid alertid incidentid issueid"
    " alarmid uid"
)
_SEVERITIES = "severity alertseverity level loglevel criticality"
_PRIORITIES = "priority alertpriority urgency"
_STATES = "status state alertstatus alertstate currentstate newstate transition eventtype action eventaction type event"
_DESCRIPTIONS = "description message body details detail text content reason output msg"
_STARTS = (
    "occurredat timestamp time startsat startedat starttime triggeredat firedat eventtime datetime date"
    " createdat created"
)
# Never the start: it would make the recovery as old as its alert.
_ENDS = (
    "resolvedat recoveredat closedat endsat endedat endtime updatedat occurredat timestamp time eventtime datetime date"
)
_RESOURCES = (
    "resource resources resourcename host hostname hosts instance node device server entity target targets service"
)
_RULES = "rule rulename alertrule policy policyname alertname check checkname"
_IMAGES = "imageurl image snapshoturl snapshot"
_LINKS = "url link weburl alerturl incidenturl generatorurl"

# Objects that wrap the event, and lists of events.
_WRAPPERS = ("alert", "incident", "event", "problem", "issue", "payload", "data", "detail", "details", "attributes")
_LISTS = ("alerts", "events", "incidents", "problems", "items", "records")


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


TITLES, KEYS, SEVERITIES, PRIORITIES = map(_names, (_TITLES, _KEYS, _SEVERITIES, _PRIORITIES))
STATES, DESCRIPTIONS, STARTS, ENDS = map(_names, (_STATES, _DESCRIPTIONS, _STARTS, _ENDS))
RESOURCES, RULES, IMAGES, LINKS = map(_names, (_RESOURCES, _RULES, _IMAGES, _LINKS))


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

    def severity(self) -> Severity | None:
        for value in self.values(SEVERITIES):
            if (severity := named_severity(value)) is not None:
                return severity
        # Priorities last: their numbers are less specific than a severity.
        for value in self.values(PRIORITIES):
            if (severity := named_severity(value) or priority_severity(value)) is not None:
                return severity
        return None

    def state(self) -> State | None:
        if self.fields.get("resolved") is True:  # a boolean is no state word
            return State.RESOLVED
        for value in self.values(STATES):
            if (state := named_state(value)) is not None:
                return state
        return None

    def moment(self, state: State) -> datetime | None:
        for value in self.values(ENDS if state is State.RESOLVED else STARTS):
            if (found := moment(value)) is not None:
                return found
        return None

    def resources(self) -> list[str]:
        """Return the first non-empty field as names: a name, a list of names, or objects that have one."""
        for value in self.values(RESOURCES):
            members = value if isinstance(value, list) else [value]
            found = texts([_name_of(member) if isinstance(member, dict) else member for member in members])
            if found:
                return found
        return []


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict)


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """Return one event, or one per member if the payload has no title but a list of events."""
    body = object_of(payload)
    # A title means that the payload is the event, and its list only a detail.
    for name in _LISTS:
        if isinstance(body.get(name), list) and body[name] and not NamedFields.of(body).first(TITLES):
            return per_item(body, name, lambda member, path: read_event(member, f"{path}."))
    return single(body, read_event(body, ""))


def read_event(body: Mapping[str, Any], prefix: str) -> EventDraft | str:
    """Return one event by the usual field names, or the reason to ignore it.

    Args:
        prefix: path of the object in its payload, "" or ending in a dot.

    Raises:
        ParseError: no title.
    """
    named = NamedFields.of(body)
    for wrapper in _WRAPPERS:
        if isinstance(body.get(wrapper), dict):
            named = NamedFields.of(body, body[wrapper])
            break
    title = named.first(TITLES)
    if not title:
        raise ParseError.at(f"{prefix}title", "required: none of title, summary, message, name, ... has text")
    state = named.state() or State.FIRING
    if state is State.ACKNOWLEDGED:
        return ACKNOWLEDGED
    title = first_line(bare_title(title))
    description = named.first(DESCRIPTIONS)
    resources = named.resources()
    return EventDraft(
        event_key=named.first(KEYS) or joined_key("generic", title, *resources),
        event_type=state.event_type,
        title=title,
        description="" if description == title else description,
        severity=recovery_severity(named.severity(), state.event_type, Severity.NONE),
        rule=named.first(RULES),
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
    )


def _name_of(resource: Mapping[str, Any]) -> str:
    item = mapping(resource)
    return first(item.get("name"), item.get("resource_name"), item.get("hostname"), text(item.get("id")))
