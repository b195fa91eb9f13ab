"""Any other JSON object that says what happened under the usual names."""

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

# Names as they are compared: small letters and digits only, so that alertName, alert_name and "Alert Name" are one.
# The first name of a list that has a usable value wins.
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
# A recovery's start is that of its alert: it would seem to be older than the alert it ends.
_ENDS = (
    "resolvedat recoveredat closedat endsat endedat endtime updatedat occurredat timestamp time eventtime datetime date"
)
_RESOURCES = (
    "resource resources resourcename host hostname hosts instance node device server entity target targets service"
)
_RULES = "rule rulename alertrule policy policyname alertname check checkname"
_IMAGES = "imageurl image snapshoturl snapshot"
_LINKS = "url link weburl alerturl incidenturl generatorurl"

# Where an envelope keeps what is meant, and lists of events.
_WRAPPERS = ("alert", "incident", "event", "problem", "issue", "payload", "data", "detail", "details", "attributes")
_LISTS = ("alerts", "events", "incidents", "problems", "items", "records")


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


TITLES, KEYS, SEVERITIES, PRIORITIES = map(_names, (_TITLES, _KEYS, _SEVERITIES, _PRIORITIES))
STATES, DESCRIPTIONS, STARTS, ENDS = map(_names, (_STATES, _DESCRIPTIONS, _STARTS, _ENDS))
RESOURCES, RULES, IMAGES, LINKS = map(_names, (_RESOURCES, _RULES, _IMAGES, _LINKS))


@dataclass(frozen=True, slots=True)
class NamedFields:
    """An object's fields by their names without case and punctuation."""

    fields: Mapping[str, Any]

    @classmethod
    def of(cls, *items: Mapping[str, Any]) -> "NamedFields":
        """The fields of the items; an earlier item's win."""
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
        for value in self.values(PRIORITIES):
            if (severity := named_severity(value) or priority_severity(value)) is not None:
                return severity
        return None

    def state(self) -> State | None:
        if self.fields.get("resolved") is True:
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
        """Of the first name that has any: a name, a list of names, or of objects that have one."""
        for value in self.values(RESOURCES):
            members = value if isinstance(value, list) else [value]
            found = texts([_name_of(member) if isinstance(member, dict) else member for member in members])
            if found:
                return found
        return []


def detect(payload: Json, _headers: Headers) -> bool:
    return isinstance(payload, dict)


def parse(payload: Json, _headers: Headers, _options: Options, _received_at: datetime) -> Parsed:
    """One event, or one per member where the payload itself says nothing but holds a list of events."""
    body = object_of(payload)
    for name in _LISTS:
        if isinstance(body.get(name), list) and body[name] and not NamedFields.of(body).first(TITLES):
            return per_item(body, name, lambda member, path: read_event(member, f"{path}."))
    return single(body, read_event(body, ""))


def read_event(body: Mapping[str, Any], prefix: str) -> EventDraft | str:
    """One event by the usual names, or the reason why it is none.

    Args:
        prefix: path of the object in its payload, "" or ending in a dot.

    Raises:
        ParseError: there is not even a title.
    """
    named = NamedFields.of(body)
    for wrapper in _WRAPPERS:
        if isinstance(body.get(wrapper), dict):
            named = NamedFields.of(body, body[wrapper])
            break
    title = named.first(TITLES)
    if not title:
        raise ParseError.at(f"{prefix}title", "none of the usual names (title, summary, message, name, ...) has a text")
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
