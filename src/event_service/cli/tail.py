"""`event-service event tail`: stream new events."""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from event_service.cli.completion import event_conditions
from event_service.cli.connection import EVENTS, Connection
from event_service.cli.failures import RETRY_SECONDS, Failure
from event_service.cli.filters import HELP, parse_filters
from event_service.cli.options import Json, takes_connection
from event_service.cli.output import EVENT_TYPE_STYLES, SEVERITY_STYLES, listed, print_json, print_parts, styled
from event_service.printable import printable

_DEDUP_WINDOW = 100_000


@takes_connection
def tail(
    connection: Connection,
    condition: Annotated[
        list[str] | None, typer.Argument(metavar="CONDITION", help=HELP, autocompletion=event_conditions)
    ] = None,
    keyword: Annotated[str, typer.Option(help="Search words in ids and titles.")] = "",
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="Stop after this many events. 0: never.")] = 0,
    as_json: Json = False,
) -> None:
    """Show new events until Ctrl-C. With --json one event per line.

    Example: event-service event tail severity=CRITICAL,ERROR title~cpu
    """
    query: dict[str, Any] = {"filter": parse_filters(condition or ())}
    if keyword:
        query["keyword"] = keyword
    for number, event in enumerate(watch(connection, query), 1):
        if as_json:
            print_json(event, indent=None)
        else:
            print_parts(line(event))
        sys.stdout.flush()
        if number == count:
            return


def watch(connection: Connection, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield new events as EventInfo JSON, each once; resume when the server is back.

    Raises:
        Failure: the server is unreachable at the start, or refuses.
    """
    token, seen = "", dict[str, None]()
    while True:
        try:
            for reply in connection.stream(EVENTS, "Watch", {"query": {"query": query}, "resume_token": token}):
                token = reply.get("resume_token", token)
                event = reply.get("event")
                if event and event["event_id"] not in seen:
                    seen[event["event_id"]] = None
                    yield event
                    if len(seen) > _DEDUP_WINDOW:
                        del seen[next(iter(seen))]
        except Failure as failure:
            if not token or not failure.is_transient:
                raise
            time.sleep(RETRY_SECONDS)


def line(event: Mapping[str, Any]) -> list[Text]:
    """Return the parts of an event's line: time, severity, type, title, resources, id."""
    severity = event.get("severity", "NONE")
    return [
        Text(printable(event.get("created_at", "")[11:19]), style="dim"),
        Text(printable(severity).ljust(8), style=SEVERITY_STYLES.get(severity, "")),
        styled(event.get("event_type", ""), EVENT_TYPE_STYLES),
        Text(printable(event.get("title") or event.get("event_key", "")), style="bold"),
        listed(event.get("resources", [])),
        Text(printable(event.get("event_id", "")), style="dim"),
    ]
