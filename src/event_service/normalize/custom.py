"""A mapping in the webhook's options: JMESPath expressions that extract each field.

    {"mapping": {"items": "checks", "event_key": "id", "title": "join(' on ', [name, host])",
                 "severity": "level", "event_type": "status", "occurred_at": "at"},
     "values": {"severity": {"9": "CRITICAL"}, "event_type": {"green": "RECOVERY"}}}

Source of the language: https://jmespath.org/specification.html
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.parser import ParsedResult

from event_service.model.event import EventDraft, EventType, Severity
from event_service.normalize.fields import extra_fields, joined_key, mapping, text, texts
from event_service.normalize.result import Fault, Headers, Json, Options, Parsed, ParseError, raw_object
from event_service.normalize.severities import State, bare_title, named_severity, named_state, recovery_severity
from event_service.normalize.splitting import check_split
from event_service.normalize.timestamps import moment

ACKNOWLEDGED = "acknowledge"

_TEXTS = ("title", "description", "rule", "image_url", "provider", "account")
FIELDS = ("items", "event_key", "event_type", "severity", "resources", "occurred_at", "additional_info", *_TEXTS)
_LONGEST = 1024  # characters of one expression

# Evaluating an expression on a value of the wrong type raises the library's errors, and Python's through it.
_EVALUATION_ERRORS = (
    JMESPathError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def has_mapping(options: Options) -> bool:
    """Return True if the webhook has a mapping."""
    return isinstance(options.get("mapping"), dict)


def check(options: Options) -> list[Fault]:
    """Return the faults of a webhook's mapping."""
    expressions = options.get("mapping")
    if not isinstance(expressions, dict):
        return [Fault("options.mapping", "must be an object of JMESPath expressions")]
    faults = [
        Fault(f"options.mapping.{name}", f"unknown field; use one of {', '.join(FIELDS)}")
        for name in expressions
        if name not in FIELDS
    ]
    for name in FIELDS:
        try:
            _compiled(expressions, name)
        except ParseError as error:
            faults += error.faults
    if "title" not in expressions and "event_key" not in expressions:
        faults.append(Fault("options.mapping.title", "required without event_key"))
    return faults


def parse(payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
    """Return one event, or one per member of the list that `items` finds."""
    expressions = mapping(options.get("mapping"))
    if not expressions:
        raise ParseError.at("options.mapping", "must be an object of JMESPath expressions", "mapping")
    values = mapping(options.get("values"))
    if "items" not in expressions:
        members: list[tuple[str, Json, Mapping[str, Any]]] = [("", payload, raw_object(payload))]
    else:
        found = _search(expressions, "items", payload)
        if not isinstance(found, list):
            raise ParseError.at("options.mapping.items", "must find a list", "mapping")
        payloads = _single_member_payloads(payload, expressions["items"], found)
        members = [
            (f"{expressions['items']}[{index}]", member, raw_data)
            for index, (member, raw_data) in enumerate(zip(found, payloads, strict=True))
        ]
    parsed = Parsed()
    for path, member, raw_data in members:
        context = {**member, "_payload": payload} if isinstance(member, dict) else member
        parsed.add(raw_data, _read, context, expressions, values, below=path)
    return parsed


def _read(context: Json, expressions: Mapping[str, Any], values: Mapping[str, Any]) -> EventDraft | str:
    found = {name: text(_search(expressions, name, context)) for name in _TEXTS}
    event_type = _event_type(text(_search(expressions, "event_type", context)), mapping(values.get("event_type")))
    if event_type is None:
        return ACKNOWLEDGED
    severity = _severity(text(_search(expressions, "severity", context)), mapping(values.get("severity")))
    resources = texts(_search(expressions, "resources", context))
    title = bare_title(found["title"])
    key = text(_search(expressions, "event_key", context))
    if not key:
        if not title:
            raise ParseError.at("event_key", "neither event_key nor title of the mapping finds text", "mapping")
        key = joined_key("mapping", title, *resources)
    return EventDraft(
        event_key=key,
        event_type=event_type,
        title=title or key,
        description=found["description"],
        severity=recovery_severity(severity, event_type, Severity.NONE),
        rule=found["rule"],
        image_url=found["image_url"],
        resources=resources,
        provider=found["provider"],
        account=found["account"],
        additional_info=extra_fields(**mapping(_search(expressions, "additional_info", context))),
        occurred_at=moment(_search(expressions, "occurred_at", context)),
    )


def _event_type(written: str, values: Mapping[str, Any]) -> EventType | None:
    """Return the type by the webhook's `values`, then by the usual words; None for an acknowledgement."""
    named = text(values.get(written, written))
    if named.upper() in EventType.__members__:
        return EventType[named.upper()]
    state = named_state(named) or State.FIRING
    return None if state is State.ACKNOWLEDGED else state.event_type


def _severity(written: str, values: Mapping[str, Any]) -> Severity | None:
    named = values.get(written, written)
    return named_severity(named)


def _search(expressions: Mapping[str, Any], name: str, value: Json) -> Json:
    compiled = _compiled(expressions, name)
    if compiled is None:
        return None
    try:
        return compiled.search(value)
    except _EVALUATION_ERRORS as error:
        raise ParseError.at(
            name, f"the mapping's expression fails on this payload: {error}"[:300], "mapping"
        ) from error


def _compiled(expressions: Mapping[str, Any], name: str) -> ParsedResult | None:
    expression = expressions.get(name)
    if expression is None:
        return None
    if not isinstance(expression, str) or len(expression) > _LONGEST:
        raise ParseError.at(f"options.mapping.{name}", f"must be a string of at most {_LONGEST} characters", "mapping")
    try:
        return _compile(expression)
    except _EVALUATION_ERRORS as error:
        reason = str(error).partition("\n")[0][:300]
        raise ParseError.at(f"options.mapping.{name}", f"is not a JMESPath expression: {reason}", "mapping") from error


# Every delivery uses the same few expressions.
@lru_cache(maxsize=1024)
def _compile(expression: str) -> ParsedResult:
    return jmespath.compile(expression)


def _single_member_payloads(payload: Json, expression: str, members: Sequence[Json]) -> Sequence[Mapping[str, Any]]:
    """Return the payload once per member with only that member in the list; for complex expressions just the member."""
    names = expression.strip().removesuffix("[]").removesuffix("[*]").split(".")
    if not (isinstance(payload, dict) and all(name.isidentifier() for name in names)):
        check_split(len(members), 1, expression)
        return [raw_object(member) for member in members]
    around: list[Mapping[str, Any]] = [payload]
    for name in names[:-1]:
        around.append(mapping(around[-1].get(name)))
    check_split(len(members), sum(map(len, around)), expression)
    payloads = []
    for member in members:
        rebuilt: Json = [member]
        for name, level in zip(reversed(names), reversed(around), strict=True):
            rebuilt = {**level, name: rebuilt}
        payloads.append(rebuilt)
    return payloads
