"""The short form of filters: `severity=CRITICAL title~cpu since=2h` as conditions of the query language.

    field=value    equal            field~text    contains, whatever the case
    field!=value   not equal        field!~text   does not contain
    field>value    greater          field<value   less            also >= and <=
    since=2h       received in the last two hours; a date works too
    until=1d       received before that

Several are joined by AND. severity and type take several words: `severity=CRITICAL,ERROR`. Below raw_data and
additional_info a number, true, false and null mean themselves; in double quotes they are text.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from event_service.cli.failures import USAGE, Failure

FORM = re.compile(r"(?P<field>[^=!~<>]+)(?P<operator>!=|!~|>=|<=|=|~|>|<)(?P<value>.*)", re.DOTALL)
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

# What people say for what the contract calls otherwise.
EVENT_WORDS = {
    "id": "event_id",
    "key": "event_key",
    "type": "event_type",
    "alert": "alert_id",
    "webhook": "webhook_id",
    "project": "project_id",
    "workspace": "workspace_id",
    "resource": "resources",
}
WEBHOOK_WORDS = {
    "id": "webhook_id",
    "project": "project_id",
    "workspace": "workspace_id",
    "plugin": "plugin_info.plugin_id",
}
# Fields that take one of a few words, written in capitals.
ENUMERATIONS = {"severity", "event_type", "state"}
DYNAMIC = ("raw_data.", "additional_info.")
AGE = re.compile(r"\d+[smhdw]")
RELATIVE = re.compile(r"now\b.*")
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")

HELP = (
    "Conditions: field=value, field!=value, field~text (contains), field!~text, field>value, >=, <, <=, "
    "since=2h, until=2026-01-31."
)


def parse_filter(text: str, words: Mapping[str, str] = EVENT_WORDS) -> dict[str, Any]:
    """One condition as a Filter of the query language: {"k", "v", "o"}.

    Args:
        words: other names of fields.

    Raises:
        Failure: it has no operator, or what stands beside it makes no sense.
    """
    match = FORM.fullmatch(text)
    if match is None:
        raise Failure(f"{text!r} is not a condition.", HELP, exit_code=USAGE)
    field, operator, value = match["field"].strip(), match["operator"], match["value"]
    if field in ("since", "until"):
        return _time_filter(field, operator, value)
    field = words.get(field, field)
    if field in ENUMERATIONS:
        members = [member.strip().upper() for member in value.split(",")]
        if len(members) > 1 and operator in ("=", "!="):
            return {"k": field, "v": members, "o": "in" if operator == "=" else "not_in"}
        value = value.upper() if operator in ("=", "!=") else value
    literal = _literal(value) if field.startswith(DYNAMIC) and "~" not in operator else value
    return {"k": field, "v": literal, "o": OPERATORS[operator]}


def parse_filters(texts: Sequence[str], words: Mapping[str, str] = EVENT_WORDS) -> list[dict[str, Any]]:
    """Every condition, in the order given."""
    return [parse_filter(text, words) for text in texts]


def _time_filter(field: str, operator: str, value: str) -> dict[str, Any]:
    """since and until: an age (`90m`), one of the query language's own times (`now/d-1d`), or a date."""
    if operator != "=" or not value.strip():
        raise Failure(f"{field} takes a time: {field}=2h, {field}=2026-01-31.", HELP, exit_code=USAGE)
    comparison = "gte" if field == "since" else "lt"
    value = value.strip()
    if AGE.fullmatch(value):
        return {"k": "created_at", "v": f"now-{value}", "o": f"timediff_{comparison}"}
    if RELATIVE.fullmatch(value):
        return {"k": "created_at", "v": value, "o": f"timediff_{comparison}"}
    return {"k": "created_at", "v": value, "o": f"datetime_{comparison}"}


def _literal(value: str) -> Any:
    """A value below a field that holds JSON, where types matter."""
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


def parse_option(text: str) -> tuple[str, Any]:
    """`name=value` of --option: true, false, numbers and JSON in brackets or quotes mean themselves, the rest is text.

    Long digit strings and what merely looks like a number (`0123`, `12e4`) stay text: ids often do.

    Raises:
        Failure: there is no name or no `=`.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise Failure(f"{text!r} is not of the form name=value.", exit_code=USAGE)
    short_number = NUMBER.fullmatch(value) and len(value) <= 12
    if short_number or value in ("true", "false", "null") or value[:1] in ('"', "{", "["):
        try:
            return name, json.loads(value)
        except ValueError as error:
            raise Failure(f"The value of {name} is not JSON: {error}.", exit_code=USAGE) from error
    return name, value
