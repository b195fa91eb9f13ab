"""Parse the short form of filters: `severity=CRITICAL title~cpu since=2h`.

    field=value    equal            field~text    contains, in any case
    field!=value   not equal        field!~text   does not contain
    field>value    greater          field<value   less            also >= and <=
    since=2h       received in the last two hours; a date works too
    until=1d       received before that

Predicates are joined by AND. severity, type and state take several values: `severity=CRITICAL,ERROR`. Below
raw_data and additional_info numbers, true, false and null are JSON values; in double quotes they are text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from event_service.errors import QueryError
from event_service.model.condition import AlertState, Urgency
from event_service.model.event import EventType, Severity
from event_service.model.webhook import WebhookState
from event_service.query.dates import iso_date, time_difference

FORM = re.compile(r"(?P<field>[^=!~<>]+)(?P<operator>!=|!~|>=|<=|=|~|>|<)(?P<value>.*)", re.DOTALL)
PIECE = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
OPERATORS = {
    "=": "eq",
    "!=": "not",
    "~": "contain",
    "!~": "not_contain",
    ">": "gt",
    ">=": "gte",
    "<": "lt",
    "<=": "lte",
}


class Shorthand(NamedTuple):
    """The short forms of a resource.

    Attributes:
        names: names of fields by their short names.
        values: values of the fields that have a fixed set of upper-case ones.
    """

    names: Mapping[str, str]
    values: Mapping[str, Sequence[str]]


EVENT_SHORTHAND = Shorthand(
    {
        "id": "event_id",
        "key": "event_key",
        "type": "event_type",
        "alert": "alert_id",
        "webhook": "webhook_id",
        "project": "project_id",
        "workspace": "workspace_id",
        "resource": "resources",
    },
    {"severity": list(Severity), "event_type": list(EventType)},
)
ALERT_SHORTHAND = Shorthand(
    {
        "id": "alert_id",
        "number": "alert_number",
        "webhook": "webhook_id",
        "project": "project_id",
        "workspace": "workspace_id",
        "resource": "resources.name",
    },
    {"severity": list(Severity), "state": list(AlertState), "urgency": list(Urgency)},
)
WEBHOOK_SHORTHAND = Shorthand(
    {
        "id": "webhook_id",
        "project": "project_id",
        "workspace": "workspace_id",
        "plugin": "plugin_info.plugin_id",
    },
    {"state": list(WebhookState)},
)
DYNAMIC = ("raw_data.", "additional_info.")
AGE = re.compile(r"\d+[smhdw]")
RELATIVE = re.compile(r"now\b.*")
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")

HELP = (
    "Conditions: field=value, field!=value, field~text (contains), field!~text, field>value, >=, <, <=, "
    "since=2h, until=2026-01-31."
)


class InvalidPredicate(ValueError):
    """The text is not a predicate; the message is for the user who typed it."""


def parse_filter(text: str, shorthand: Shorthand = EVENT_SHORTHAND) -> dict[str, Any]:
    """Return one predicate as a Filter of the query language: {"k", "v", "o"}.

    Raises:
        InvalidPredicate: no operator, or an invalid value.
    """
    match = FORM.fullmatch(text)
    if match is None:
        raise InvalidPredicate(f"{text!r} is not a condition.")
    field, operator, value = match["field"].strip(), match["operator"], match["value"]
    if field in ("since", "until"):
        return _time_filter(field, operator, value)
    field = shorthand.names.get(field, field)
    if values := shorthand.values.get(field):
        members = [member.strip().upper() for member in value.split(",")]
        unknown = [member for member in members if member not in values]
        if unknown and operator in ("=", "!="):
            raise InvalidPredicate(f"{field} has no value {unknown[0]!r}. Use one of {', '.join(values)}.")
        if len(members) > 1 and operator in ("=", "!="):
            return {"k": field, "v": members, "o": "in" if operator == "=" else "not_in"}
        value = value.upper() if operator in ("=", "!=") else value
    literal = _literal(value) if field.startswith(DYNAMIC) and "~" not in operator else value
    return {"k": field, "v": literal, "o": OPERATORS[operator]}


def parse_line(line: str, shorthand: Shorthand = EVENT_SHORTHAND) -> tuple[list[dict[str, Any]], str]:
    """Parse a line of predicates separated by blanks: `severity=ERROR title~"cpu load" web-1`.

    Double quotes protect blanks. Around a whole value they are removed, except below raw_data and additional_info,
    where they mark text.

    Returns:
        The filters, and the remaining words: the keyword of the query language.

    Raises:
        InvalidPredicate: as in `parse_filter`.
    """
    filters, keywords = [], []
    for piece in PIECE.findall(line):
        match = FORM.fullmatch(piece)
        if match is None or piece.startswith('"'):
            keywords.append(piece.strip('"'))
            continue
        field, value = match["field"], match["value"]
        quoted = len(value) > 1 and value[0] == value[-1] == '"'
        if quoted and not field.startswith(DYNAMIC):
            value = value[1:-1]
        filters.append(parse_filter(f"{field}{match['operator']}{value}", shorthand))
    return filters, " ".join(word for word in keywords if word)


def _time_filter(field: str, operator: str, value: str) -> dict[str, Any]:
    """Parse since and until: an age (`90m`), a time of the query language (`now/d-1d`), or a date."""
    if operator != "=" or not value.strip():
        raise InvalidPredicate(f"{field} takes a time: {field}=2h, {field}=2026-01-31.")
    comparison = "gte" if field == "since" else "lt"
    value = value.strip()
    moment = f"now-{value}" if AGE.fullmatch(value) else value
    relative = RELATIVE.fullmatch(moment)
    try:
        if relative:
            time_difference(moment, "", datetime.now(UTC))
        else:
            iso_date(moment, "")
    except QueryError:
        raise InvalidPredicate(
            f"{value!r} is not a time. Use for example {field}=2h, {field}=7d or {field}=2026-01-31."
        ) from None
    return {"k": "created_at", "v": moment, "o": f"{'timediff' if relative else 'datetime'}_{comparison}"}


def _literal(value: str) -> Any:
    """Return a value below a JSON field, where types matter."""
    if (
        NUMBER.fullmatch(value)
        or value in ("true", "false", "null")
        or (len(value) > 1 and value[0] == value[-1] == '"')
    ):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
