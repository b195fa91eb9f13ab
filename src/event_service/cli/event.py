"""`event-service event ...`: send events, and read them back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from event_service.cli import default_webhook
from event_service.cli.completion import event_conditions, event_fields_to_count_by
from event_service.cli.configuration import load_settings
from event_service.cli.connection import EVENT, EVENTS, Connection
from event_service.cli.counting import MostCounts, count_by
from event_service.cli.export import export
from event_service.cli.failures import USAGE, Failure
from event_service.cli.filters import EVENT_SHORTHAND, HELP, list_query
from event_service.cli.options import Json, Keyword, Limit, Sort, Start, takes_connection
from event_service.cli.output import (
    EVENT_TYPE_STYLES,
    SEVERITY_STYLES,
    listed,
    print_document,
    print_fields,
    print_json,
    print_table,
    say,
    short_time,
    styled,
)
from event_service.cli.payload import read_object
from event_service.cli.tail import tail

app = typer.Typer(no_args_is_help=True, help="Send events and read them back.")
app.command()(tail)
app.command()(export)

Filters = Annotated[list[str] | None, typer.Argument(metavar="CONDITION", help=HELP, autocompletion=event_conditions)]


@app.command()
@takes_connection
def send(
    connection: Connection,
    payload: Annotated[
        Path, typer.Argument(metavar="FILE", help="The payload, a JSON object; - is standard input.")
    ] = Path("-"),
    webhook_id: Annotated[
        str,
        typer.Option(
            "--webhook-id",
            envvar="EVENT_SERVICE_WEBHOOK_ID",
            help="Webhook to send to. Default: the first webhook, which `serve` created in the data directory.",
        ),
    ] = "",
    access_key: Annotated[
        str, typer.Option("--access-key", envvar="EVENT_SERVICE_ACCESS_KEY", help="Access key of the webhook.")
    ] = "",
    idempotency_key: Annotated[
        str, typer.Option(help="A repeated send with the same key stores nothing new.", metavar="KEY")
    ] = "",
    as_json: Json = False,
) -> None:
    """Send one payload to a webhook, as a monitoring tool would.

    Example: echo '{"event_key": "disk /", "title": "Disk full", "severity": "CRITICAL"}' | event-service event send
    """
    webhook_id, access_key = _sender(webhook_id, access_key)
    request = {"webhook_id": webhook_id, "access_key": access_key, "data": read_object(payload)}
    metadata = {"idempotency-key": idempotency_key} if idempotency_key else {}
    trailers = connection.call(EVENT, "create", request, metadata).trailers
    outcome = {
        "event_count": int(next(iter(trailers.get("event-count", ())), 0)),
        "event_ids": list(trailers.get("event-id", ())),
        "duplicate": "true" in trailers.get("event-duplicate", ()),
        "errors": list(trailers.get("event-error", ())),
    }
    if as_json:
        print_json(outcome)
    else:
        _print_outcome(outcome)


@app.command("list")
@takes_connection
def list_events(
    connection: Connection,
    condition: Filters = None,
    limit: Limit = 20,
    start: Start = 1,
    sort: Sort = None,
    keyword: Keyword = "",
    as_json: Json = False,
) -> None:
    """List events, the newest first.

    Example: event-service event list severity=CRITICAL title~cpu since=2h
    """
    query = list_query(condition or (), EVENT_SHORTHAND, start=start, limit=limit, sort=sort or (), keyword=keyword)
    body = connection.call(EVENT, "list", {"query": query}).body
    rows = body.get("results", [])
    if as_json:
        print_json({"results": rows, "total_count": body.get("total_count", 0)})
        return
    print_table(
        ("RECEIVED", "SEVERITY", "TYPE", "TITLE", "RESOURCES", "EVENT", "ALERT"),
        [
            (
                short_time(row.get("created_at", "")),
                styled(row.get("severity", ""), SEVERITY_STYLES),
                styled(row.get("event_type", ""), EVENT_TYPE_STYLES),
                row.get("title") or row.get("event_key", ""),
                listed(row.get("resources", [])),
                row.get("event_id", ""),
                row.get("alert_id", ""),
            )
            for row in rows
        ],
        note=f"{len(rows)} of {body.get('total_count', 0)}",
    )


@app.command()
@takes_connection
def get(
    connection: Connection,
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event.")],
    as_json: Json = False,
) -> None:
    """Show one event with its payload.

    Example: event-service event get event-0123456789ab
    """
    event = connection.call(EVENT, "get", {"event_id": event_id}).body
    if as_json:
        print_json(event)
        return
    plain: dict[str, str | Text] = {name: value for name, value in event.items() if isinstance(value, str)}
    coloured: dict[str, str | Text] = {
        "severity": styled(event.get("severity", ""), SEVERITY_STYLES),
        "event_type": styled(event.get("event_type", ""), EVENT_TYPE_STYLES),
        "resources": listed(event.get("resources", [])),
    }
    print_fields((plain | coloured).items())
    for name in ("additional_info", "raw_data"):
        if event.get(name):
            print_document(name, event[name])


@app.command()
@takes_connection
def replay(
    connection: Connection,
    event_id: Annotated[
        str, typer.Argument(metavar="EVENT_ID", help="An ERROR event of a payload that could not be parsed.")
    ],
    as_json: Json = False,
) -> None:
    """Parse the payload of an ERROR event again with the current parser, and store its events once.

    Example: event-service event list type=ERROR; event-service event replay event-0123456789ab
    """
    body = connection.call(EVENTS, "Replay", {"event_id": event_id}).body
    outcome = {
        "event_count": len(body.get("event_ids", [])),
        "event_ids": body.get("event_ids", []),
        "duplicate": body.get("duplicate", False),
        "errors": body.get("faults", []),
        "ignored": body.get("ignored", []),
        "parser": body.get("parser", ""),
    }
    if as_json:
        print_json(outcome)
        return
    _print_outcome(outcome)
    for reason in outcome["ignored"]:
        say(f"Ignored: {reason}", style="yellow")


@app.command()
@takes_connection
def stat(
    connection: Connection,
    condition: Filters = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="FIELD,...",
            help="Group by fields, and by minute, hour, day or month.",
            autocompletion=event_fields_to_count_by,
        ),
    ] = "severity",
    limit: MostCounts = 50,
    as_json: Json = False,
) -> None:
    """Count events by one or several fields.

    Example: event-service event stat --by hour,severity since=1d
    """
    count_by(connection, EVENT, condition or (), EVENT_SHORTHAND, by=by, limit=limit, as_json=as_json)


def _sender(webhook_id: str, access_key: str) -> tuple[str, str]:
    """Return id and access key: the given ones, else those of the default webhook in the data directory."""
    if webhook_id and access_key:
        return webhook_id, access_key
    if webhook_id or access_key:
        missing = "--access-key" if webhook_id else "--webhook-id"
        raise Failure(f"{missing} is missing.", "Give both --webhook-id and --access-key.", exit_code=USAGE)
    first = default_webhook.read(load_settings({}).data_dir)
    if first is None:
        raise Failure(
            "No webhook given, and the data directory has no default webhook.",
            "Give --webhook-id and --access-key, as `event-service webhook create --name NAME` prints them.",
            exit_code=USAGE,
        )
    return first.webhook_id, first.access_key


def _print_outcome(outcome: Mapping[str, Any]) -> None:
    count, ids = outcome["event_count"], outcome["event_ids"]
    if outcome["duplicate"]:
        say("Duplicate: this was stored before.", style="yellow")
    elif not count:
        say("Accepted; nothing to store.", style="yellow")
    else:
        say(f"Stored {count} {'event' if count == 1 else 'events'}.", style="green")
    for event_id in ids:
        say(event_id)
    if count > len(ids) > 0:
        say(f"and {count - len(ids)} more")
    for error in outcome["errors"]:
        say(f"Not parsed: {error}", style="bold red")
