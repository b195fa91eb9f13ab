"""`event-service event tail`, and streams that resume when the server is back."""

import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from google.protobuf.descriptor import ServiceDescriptor
from rich.text import Text

from event_service.cli.completion import event_conditions
from event_service.cli.connection import EVENTS, Connection
from event_service.cli.failures import RETRY_SECONDS, Failure
from event_service.cli.filters import HELP, parse_filters
from event_service.cli.options import Json, Keyword, takes_connection
from event_service.cli.output import EVENT_TYPE_STYLES, SEVERITY_STYLES, listed, print_json, print_parts, styled
from event_service.printable import printable

_DEDUP_WINDOW = 100_000

Count = Annotated[int, typer.Option("--count", "-n", min=0, help="Stop after this many lines. 0: never.")]


@takes_connection
def tail(
    connection: Connection,
    condition: Annotated[
        list[str] | None, typer.Argument(metavar="CONDITION", help=HELP, autocompletion=event_conditions)
    ] = None,
    keyword: Keyword = "",
    count: Count = 0,
    as_json: Json = False,
) -> None:
    """Show new events until Ctrl-C. With --json one event per line.

    Example: event-service event tail severity=CRITICAL,ERROR title~cpu
    """
    query: dict[str, Any] = {"filter": parse_filters(condition or ())}
    if keyword:
        query["keyword"] = keyword
    replies = watch(connection, EVENTS, query, lambda reply: reply.get("event", {}).get("event_id"))
    show((reply["event"] for reply in replies), line, count, as_json)


def show(
    rows: Iterator[dict[str, Any]], parts: Callable[[Mapping[str, Any]], Sequence[Text]], count: int, as_json: bool
) -> None:
    """Print rows as they come, one per line, until there were `count`; 0: without end."""
    for number, row in enumerate(rows, 1):
        if as_json:
            print_json(row, indent=None)
        else:
            print_parts(parts(row))
        sys.stdout.flush()
        if number == count:
            return


def watch(
    connection: Connection,
    service: ServiceDescriptor,
    query: Mapping[str, Any],
    identity: Callable[[Mapping[str, Any]], Hashable],
) -> Iterator[dict[str, Any]]:
    """Yield the replies of a Watch as JSON, each once; resume when the server is back.

    Args:
        service: Events or Alerts.
        identity: returns what a repeated reply has in common with the first; None for a reply to omit.

    Raises:
        Failure: the server is unreachable at the start, or refuses.
    """
    token, seen = "", dict[Hashable, None]()
    while True:
        try:
            for reply in connection.stream(service, "Watch", {"query": {"query": query}, "resume_token": token}):
                token = reply.get("resume_token", token)
                key = identity(reply)
                if key is not None and key not in seen:
                    seen[key] = None
                    yield reply
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
