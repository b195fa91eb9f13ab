"""Count events or alerts by fields, for `stat` of both."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from google.protobuf.descriptor import ServiceDescriptor

from event_service.cli.connection import Connection
from event_service.cli.failures import USAGE, Failure
from event_service.cli.filters import Shorthand, parse_filters
from event_service.cli.output import SEVERITY_STYLES, bar, print_json, print_table, styled

# Time steps of `stat --by`, as $dateToString formats.
STEPS = {"minute": "%Y-%m-%d %H:%M", "hour": "%Y-%m-%d %H:00", "day": "%Y-%m-%d", "month": "%Y-%m"}

MostCounts = Annotated[int, typer.Option("--limit", min=1, help="Maximum number of rows.")]


def count_by(
    connection: Connection,
    service: ServiceDescriptor,
    conditions: Sequence[str],
    shorthand: Shorthand,
    *,
    by: str,
    limit: int,
    as_json: bool,
) -> None:
    """Print the number of rows for each combination of values.

    Args:
        service: Event or Alert.
        by: fields and time steps, separated by commas.

    Raises:
        Failure: `by` is empty.
    """
    names = [name.strip() for name in by.split(",") if name.strip()]
    if not names:
        raise Failure("--by is empty.", "Give fields, such as --by severity,hour.", exit_code=USAGE)
    keys = [
        {"k": "created_at", "n": name, "date_format": STEPS[name]}
        if name in STEPS
        else {"k": shorthand.names.get(name, name), "n": name}
        for name in names
    ]
    in_time = any(name in STEPS for name in names)
    order = [{"key": name, "desc": False} for name in names]
    if not in_time:
        order.insert(0, {"key": "count", "desc": True})
    stages = [{"group": {"keys": keys, "fields": [{"o": "count", "n": "count"}]}}, {"sort": order}, {"limit": limit}]
    query = {"aggregate": stages, "filter": parse_filters(conditions, shorthand)}
    body = connection.call(service, "stat", {"query": query}).body
    if as_json:
        print_json(body)
        return
    rows = body.get("results", [])
    most = max((row["count"] for row in rows), default=1)
    print_table(
        [*(name.upper() for name in names), f"{service.name.upper()}S", ""],
        [
            [*(_cell(name, row.get(name)) for name in names), str(row["count"]), bar(row["count"] / most)]
            for row in rows
        ],
    )


def _cell(name: str, value: object) -> Any:
    text = "" if value is None else str(value)
    return styled(text, SEVERITY_STYLES) if name == "severity" else text
