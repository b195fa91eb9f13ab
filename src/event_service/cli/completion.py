"""Shell completion: fields of conditions, their values, webhooks of the server.

Bash splits a word at `=`: in `severity=CRI` the word to complete is `CRI`, after the words `severity` and `=`; zsh and
fish do not split. Both forms are handled. A field is offered with two operators, since shells treat a single candidate
as a finished word.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from typer import Context

from event_service.cli.connection import DEFAULT_SERVER, WEBHOOK, Connection
from event_service.cli.failures import Failure
from event_service.model.event import EventType, Severity
from event_service.printable import printable
from event_service.query.fields import EVENT_FIELDS, WEBHOOK_FIELDS, FieldKind, FieldSet
from event_service.query.short_filter import EVENT_WORDS, WEBHOOK_WORDS

VALUES: Mapping[str, Sequence[str]] = {
    "severity": tuple(Severity),
    "event_type": tuple(EventType),
    "state": ("ENABLED", "DISABLED"),
    "since": ("1h", "24h", "7d", "30d"),
    "until": ("1h", "24h", "7d", "30d"),
}
Candidate = tuple[str, str]
"""A completion and its description."""

STEPS = ("minute", "hour", "day", "month")
_SERVER_SECONDS = 1.0
_MOST_WEBHOOKS = 50


def event_conditions(context: Context, incomplete: str) -> list[Candidate]:
    return _conditions(context, incomplete, EVENT_FIELDS, EVENT_WORDS)


def webhook_conditions(context: Context, incomplete: str) -> list[Candidate]:
    return _conditions(context, incomplete, WEBHOOK_FIELDS, WEBHOOK_WORDS)


def webhook_ids(context: Context, incomplete: str) -> list[Candidate]:
    """Complete ids of the server's webhooks, with their names; none if it does not answer within a second."""
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
        "only": ["webhook_id", "name"],
        "sort": [{"key": "created_at", "desc": True}],
        "page": {"limit": _MOST_WEBHOOKS},
    }
    if incomplete:
        query["filter"] = [{"k": "webhook_id", "v": incomplete, "o": "contain"}]
    try:
        rows = connection.call(WEBHOOK, "list", {"query": query}).body.get("results", [])
    except Failure:
        return []
    matching = [row for row in rows if row["webhook_id"].startswith(incomplete)]
    return [(row["webhook_id"], printable(row.get("name", ""))) for row in matching]


def fields_to_count_by(incomplete: str) -> list[Candidate]:
    """Complete the last of several fields or time steps separated by commas."""
    before, comma, begun = incomplete.rpartition(",")
    return [
        (f"{before}{comma}{name}", "")
        for name in [*STEPS, *_fields(EVENT_FIELDS, EVENT_WORDS)]
        if name.startswith(begun)
    ]


def export_formats(incomplete: str) -> list[Candidate]:
    return [(name, "") for name in ("csv", "ndjson") if name.startswith(incomplete)]


def _conditions(context: Context, incomplete: str, fields: FieldSet, words: Mapping[str, str]) -> list[Candidate]:
    before: Sequence[Any] = context.params.get("condition") or ()
    field, equals, value = incomplete.partition("=")
    if not incomplete and before and not set(str(before[-1]).rstrip("!")) & set("=~<>"):  # bash, after the operator
        return _values(context, _field_name(before[-1], words), "", "")
    if len(before) > 1 and before[-1] == "=":  # bash, in the value
        return _values(context, _field_name(before[-2], words), incomplete, "")
    if equals:
        return _values(context, _field_name(field, words), value, f"{field}=")
    found = [
        f"{name}{operator}"
        for name in _fields(fields, words)
        if name.startswith(incomplete)
        for operator in ("=", "!=")
    ]
    for name in ("since", "until"):
        if name.startswith(incomplete):
            found += [f"{name}={age}" for age in VALUES[name]] if incomplete else [f"{name}="]
    return [(one, "") for one in found]


def _values(context: Context, field: str, begun: str, prefix: str) -> list[Candidate]:
    """Complete the last of several values separated by commas."""
    if field == "webhook_id":
        return [(prefix + webhook_id, name) for webhook_id, name in webhook_ids(context, begun)]
    done, comma, last = begun.rpartition(",")
    return [(f"{prefix}{done}{comma}{value}", "") for value in VALUES.get(field, ()) if value.startswith(last)]


def _field_name(text: Any, words: Mapping[str, str]) -> str:
    name = str(text).rstrip("!=")
    return words.get(name, name)


def _fields(fields: FieldSet, words: Mapping[str, str]) -> list[str]:
    """Return the names of filterable fields, short names where they exist."""
    short = {name: word for word, name in words.items()}
    return [
        short.get(name, name)
        for name, kind in fields.kinds.items()
        if kind is not FieldKind.DYNAMIC and name not in fields.unsearchable
    ]
