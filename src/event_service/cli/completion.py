"""Shell completion: fields of conditions, their values, webhooks of the server.

Bash splits a word at `=`: in `severity=CRI` the word to complete is `CRI`, after the words `severity` and `=`; zsh and
fish do not split. Both forms are handled. A field is offered with two operators, since shells treat a single candidate
as a finished word.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from typer import Context

from event_service.cli.connection import ALERT, DEFAULT_SERVER, WEBHOOK, Connection
from event_service.cli.counting import STEPS
from event_service.cli.failures import Failure
from event_service.printable import printable
from event_service.query.fields import ALERT_FIELDS, EVENT_FIELDS, WEBHOOK_FIELDS, FieldKind, FieldSet
from event_service.query.short_filter import ALERT_SHORTHAND, EVENT_SHORTHAND, WEBHOOK_SHORTHAND, Shorthand

AGES = ("1h", "24h", "7d", "30d")
Candidate = tuple[str, str]
"""A completion and its description."""

_SERVER_SECONDS = 1.0
_MOST_IDS = 50


def event_conditions(context: Context, incomplete: str) -> list[Candidate]:
    return _conditions(context, incomplete, EVENT_FIELDS, EVENT_SHORTHAND)


def alert_conditions(context: Context, incomplete: str) -> list[Candidate]:
    return _conditions(context, incomplete, ALERT_FIELDS, ALERT_SHORTHAND)


def webhook_conditions(context: Context, incomplete: str) -> list[Candidate]:
    return _conditions(context, incomplete, WEBHOOK_FIELDS, WEBHOOK_SHORTHAND)


def webhook_ids(context: Context, incomplete: str) -> list[Candidate]:
    """Complete ids of the server's webhooks, with their names."""
    return _ids(context, incomplete, WEBHOOK, "webhook_id", "name")


def alert_ids(context: Context, incomplete: str) -> list[Candidate]:
    """Complete ids of open alerts, with their titles."""
    is_open = {"k": "state", "v": "RESOLVED", "o": "not"}
    return _ids(context, incomplete, ALERT, "alert_id", "title", is_open)


def _ids(
    context: Context, incomplete: str, service: ServiceDescriptor, field: str, name: str, *filters: Mapping[str, str]
) -> list[Candidate]:
    """Complete ids that the server lists, the newest; none if it does not answer within a second."""
    given = context.params
    connection = Connection(
        given.get("server") or DEFAULT_SERVER,
        given.get("token") or "",
        given.get("ca_file"),
        given.get("cert_file"),
        given.get("key_file"),
        _SERVER_SECONDS,
    )
    query: dict[str, Any] = {
        "only": [field, name],
        "sort": [{"key": "created_at", "desc": True}],
        "page": {"limit": _MOST_IDS},
        "filter": list(filters),
    }
    if incomplete:
        query["filter"].append({"k": field, "v": incomplete, "o": "contain"})
    try:
        rows = connection.call(service, "list", {"query": query}).body.get("results", [])
    except Failure:
        return []
    return [(row[field], printable(row.get(name, ""))) for row in rows if row[field].startswith(incomplete)]


def event_fields_to_count_by(incomplete: str) -> list[Candidate]:
    return _fields_to_count_by(incomplete, EVENT_FIELDS, EVENT_SHORTHAND)


def alert_fields_to_count_by(incomplete: str) -> list[Candidate]:
    return _fields_to_count_by(incomplete, ALERT_FIELDS, ALERT_SHORTHAND)


def _fields_to_count_by(incomplete: str, fields: FieldSet, shorthand: Shorthand) -> list[Candidate]:
    """Complete the last of several fields or time steps separated by commas."""
    before, comma, begun = incomplete.rpartition(",")
    return [(f"{before}{comma}{name}", "") for name in [*STEPS, *_fields(fields, shorthand)] if name.startswith(begun)]


def export_formats(incomplete: str) -> list[Candidate]:
    return [(name, "") for name in ("csv", "ndjson") if name.startswith(incomplete)]


def _conditions(context: Context, incomplete: str, fields: FieldSet, shorthand: Shorthand) -> list[Candidate]:
    before: Sequence[Any] = context.params.get("condition") or ()
    field, equals, value = incomplete.partition("=")
    if not incomplete and before and not set(str(before[-1]).rstrip("!")) & set("=~<>"):  # bash, after the operator
        return _values(context, _field_name(before[-1], shorthand), "", "", shorthand)
    if len(before) > 1 and before[-1] == "=":  # bash, in the value
        return _values(context, _field_name(before[-2], shorthand), incomplete, "", shorthand)
    if equals:
        return _values(context, _field_name(field, shorthand), value, f"{field}=", shorthand)
    found = [
        f"{name}{operator}"
        for name in _fields(fields, shorthand)
        if name.startswith(incomplete)
        for operator in ("=", "!=")
    ]
    for name in ("since", "until"):
        if name.startswith(incomplete):
            found += [f"{name}={age}" for age in AGES] if incomplete else [f"{name}="]
    return [(one, "") for one in found]


def _values(context: Context, field: str, begun: str, prefix: str, shorthand: Shorthand) -> list[Candidate]:
    """Complete the last of several values separated by commas."""
    if field == "webhook_id":
        return [(prefix + webhook_id, name) for webhook_id, name in webhook_ids(context, begun)]
    values = AGES if field in ("since", "until") else shorthand.values.get(field, ())
    done, comma, last = begun.rpartition(",")
    return [(f"{prefix}{done}{comma}{value}", "") for value in values if value.startswith(last)]


def _field_name(text: Any, shorthand: Shorthand) -> str:
    name = str(text).rstrip("!=")
    return shorthand.names.get(name, name)


def _fields(fields: FieldSet, shorthand: Shorthand) -> list[str]:
    """Return the names of filterable fields, short names where they exist."""
    short = {name: word for word, name in shorthand.names.items()}
    return [
        short.get(name, name)
        for name, kind in fields.kinds.items()
        if kind is not FieldKind.DYNAMIC and name not in fields.unsearchable
    ]
