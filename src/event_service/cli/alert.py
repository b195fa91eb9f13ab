"""`event-service alert ...`: see what is broken, and take care of it."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

import typer
from rich.text import Text

from event_service.cli.completion import alert_conditions, alert_fields_to_count_by, alert_ids
from event_service.cli.connection import ALERT, ALERTS, Connection
from event_service.cli.counting import MostCounts, count_by
from event_service.cli.failures import FAILED, USAGE, Failure
from event_service.cli.filters import ALERT_SHORTHAND, HELP, list_query, parse_filters
from event_service.cli.options import Json, Keyword, Limit, Sort, Start, Yes, confirm, takes_connection
from event_service.cli.output import (
    SEVERITY_STYLES,
    STATE_STYLES,
    listed,
    print_document,
    print_error,
    print_fields,
    print_json,
    print_table,
    say,
    short_time,
    styled,
)
from event_service.cli.tail import Count, show, watch
from event_service.printable import printable

app = typer.Typer(no_args_is_help=True, help="See what is broken, and take care of it.")

Filters = Annotated[list[str] | None, typer.Argument(metavar="CONDITION", help=HELP, autocompletion=alert_conditions)]
All = Annotated[bool, typer.Option("--all", help="Include RESOLVED alerts; so does a condition on state.")]
AlertIds = Annotated[list[str] | None, typer.Argument(metavar="ALERT_ID", help="Alerts.", autocompletion=alert_ids)]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="CONDITION",
        help="All alerts with this condition, such as severity=INFO; several are joined by AND.",
        autocompletion=alert_conditions,
    ),
]

_OPEN = "state!=RESOLVED"
_COUNTED = 1000
"""Most alerts of one Alerts.Count, and of one page."""

_SHOWN = 10
"""Most alerts named in a question."""


@app.command("list")
@takes_connection
def list_alerts(
    connection: Connection,
    condition: Filters = None,
    everything: All = False,
    limit: Limit = 20,
    start: Start = 1,
    sort: Sort = None,
    keyword: Keyword = "",
    as_json: Json = False,
) -> None:
    """List open alerts, the newest first.

    Example: event-service alert list severity=CRITICAL since=2h
    """
    query = list_query(
        _conditions(condition, everything), ALERT_SHORTHAND, start=start, limit=limit, sort=sort or (), keyword=keyword
    )
    body = connection.call(ALERT, "list", {"query": query}).body
    rows = _counted(connection, body.get("results", []))
    if as_json:
        print_json({"results": rows, "total_count": body.get("total_count", 0)})
        return
    print_table(
        ("OPENED", "SEVERITY", "STATE", "TITLE", "RESOURCES", "EVENTS", "ASSIGNEE", "ALERT"),
        [
            (
                short_time(row.get("created_at", "")),
                styled(row.get("severity", ""), SEVERITY_STYLES),
                styled(row.get("state", ""), STATE_STYLES),
                row.get("title", ""),
                _resources(row),
                str(row.get("event_count", "")),
                row.get("assignee", ""),
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
    alert_id: Annotated[str, typer.Argument(metavar="ALERT_ID", help="The alert.", autocompletion=alert_ids)],
    as_json: Json = False,
) -> None:
    """Show one alert, and how many events it has.

    Example: event-service alert get alert-0123456789ab; event-service event list alert=alert-0123456789ab
    """
    (alert,) = _counted(connection, [connection.call(ALERT, "get", {"alert_id": alert_id}).body])
    if as_json:
        print_json(alert)
        return
    plain = {name: str(value) for name, value in alert.items() if isinstance(value, str | int | float)}
    coloured: dict[str, str | Text] = {
        "state": styled(alert.get("state", ""), STATE_STYLES),
        "severity": styled(alert.get("severity", ""), SEVERITY_STYLES),
        "resources": _resources(alert),
    }
    print_fields((plain | coloured).items())
    if alert.get("additional_info"):
        print_document("additional_info", alert["additional_info"])


@app.command()
@takes_connection
def ack(
    connection: Connection,
    alert_id: AlertIds = None,
    condition: FilterOption = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Acknowledge alerts: events join them as before, and a recovery resolves them.

    Example: event-service alert ack alert-0123456789ab
    """
    _set_state(connection, "ACKNOWLEDGED", "state=TRIGGERED,ERROR", alert_id, condition, yes=yes, as_json=as_json)


@app.command()
@takes_connection
def resolve(
    connection: Connection,
    alert_id: AlertIds = None,
    condition: FilterOption = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Resolve alerts, as a recovery at this moment would: the next firing opens the next alert.

    Example: event-service alert resolve --filter webhook=webhook-0123456789ab --filter until=1d
    """
    _set_state(connection, "RESOLVED", _OPEN, alert_id, condition, yes=yes, as_json=as_json)


@app.command()
@takes_connection
def reopen(
    connection: Connection,
    alert_id: AlertIds = None,
    condition: FilterOption = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Take back that alerts were acknowledged or resolved.

    Example: event-service alert reopen alert-0123456789ab
    """
    _set_state(connection, "TRIGGERED", "state=ACKNOWLEDGED,RESOLVED", alert_id, condition, yes=yes, as_json=as_json)


@app.command()
@takes_connection
def stat(
    connection: Connection,
    condition: Filters = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="FIELD,...",
            help="Group by fields, and by minute, hour, day or month of their opening.",
            autocompletion=alert_fields_to_count_by,
        ),
    ] = "severity",
    everything: All = False,
    limit: MostCounts = 50,
    as_json: Json = False,
) -> None:
    """Count open alerts by one or several fields.

    Example: event-service alert stat --by webhook,severity
    """
    conditions = _conditions(condition, everything)
    count_by(connection, ALERT, conditions, ALERT_SHORTHAND, by=by, limit=limit, as_json=as_json)


@app.command()
@takes_connection
def tail(
    connection: Connection,
    condition: Filters = None,
    keyword: Keyword = "",
    count: Count = 0,
    as_json: Json = False,
) -> None:
    """Show alerts as they are opened, changed and resolved, until Ctrl-C. With --json one change per line.

    Example: event-service alert tail severity=CRITICAL,ERROR
    """
    query: dict[str, Any] = {"filter": parse_filters(condition or (), ALERT_SHORTHAND)}
    if keyword:
        query["keyword"] = keyword
    changes = (
        {"change": reply["change"].removeprefix("ALERT_CHANGE_"), "alert": reply["alert"]}
        for reply in watch(connection, ALERTS, query, _change)
    )
    show(changes, _line, count, as_json)


def _conditions(conditions: Sequence[str] | None, everything: bool) -> list[str]:
    """Return the conditions, and that the alert is open unless one of them is about the state."""
    given = list(conditions or ())
    has_state = any(one["k"] == "state" for one in parse_filters(given, ALERT_SHORTHAND))
    return given if everything or has_state else [*given, _OPEN]


def _set_state(
    connection: Connection,
    state: str,
    suitable: str,
    alert_ids: Sequence[str] | None,
    conditions: Sequence[str] | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Give alerts a state, and report each; those that are refused do not keep the others from it.

    Args:
        suitable: condition of the alerts that --filter takes.

    Raises:
        Failure: neither or both of ids and conditions are given.
    """
    if bool(alert_ids) == bool(conditions):
        raise Failure("Give either alert ids or --filter.", HELP, exit_code=USAGE)
    titles = dict.fromkeys(alert_ids or (), "") or _matching(connection, [*(conditions or ()), suitable])
    if len(titles) > 1 and not yes and not as_json:
        _ask(titles, state)
    done: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for one in titles:
        try:
            done.append(connection.call(ALERT, "update", {"alert_id": one, "state": state}).body)
        except Failure as failure:
            if failure.exit_code != FAILED or len(titles) == 1:
                raise
            errors.append({"alert_id": one, "error": failure.message})
            if not as_json:
                print_error(f"{one}: {failure.message}", failure.hint)
            continue
        if not as_json:
            say(f"{one} is {done[-1].get('state', '')}.")
    if as_json:
        print_json({"results": done, "errors": errors})
    elif not titles:
        say("No alerts match.", style="yellow")
    if errors:
        raise typer.Exit(FAILED)


def _ask(titles: Mapping[str, str], state: str) -> None:
    for alert_id, title in islice(titles.items(), _SHOWN):
        say(f"{alert_id}  {title}".rstrip(), stderr=True)
    if len(titles) > _SHOWN:
        say(f"and {len(titles) - _SHOWN} more", stderr=True)
    confirm(f"Set {len(titles)} alerts to {state}?")


def _matching(connection: Connection, conditions: Sequence[str]) -> dict[str, str]:
    """Return the titles of all matching alerts by id, the newest first, in as many pages as it takes."""
    titles: dict[str, str] = {}
    start = 1
    while True:
        query = {**list_query(conditions, ALERT_SHORTHAND, start=start, limit=_COUNTED), "only": ["alert_id", "title"]}
        rows = connection.call(ALERT, "list", {"query": query}).body.get("results", [])
        titles |= {row["alert_id"]: row.get("title", "") for row in rows}
        if len(rows) < _COUNTED:
            return titles
        start += len(rows)


def _counted(connection: Connection, alerts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return alerts with the fields of AlertEvents: number and times of the events, duration, and why it ended."""
    counts: dict[str, dict[str, Any]] = {}
    ids = [alert["alert_id"] for alert in alerts]
    for position in range(0, len(ids), _COUNTED):
        request = {"alert_ids": ids[position : position + _COUNTED]}
        for one in connection.call(ALERTS, "Count", request).body.get("results", []):
            counts[one["alert_id"]] = {**one, "event_count": int(one.get("event_count", 0))}
    return [{**alert, **counts.get(alert["alert_id"], {})} for alert in alerts]


def _change(reply: Mapping[str, Any]) -> str | None:
    """Return what identifies a change: the whole alert after it."""
    return str(sorted(reply["alert"].items())) if "alert" in reply else None


def _line(change: Mapping[str, Any]) -> list[Text]:
    """Return the parts of a change's line: time, change, severity, state, title, resources, id."""
    alert = change["alert"]
    severity = alert.get("severity", "NONE")
    return [
        Text(printable(alert.get("updated_at", "")[11:19]), style="dim"),
        Text(printable(change["change"]).ljust(8)),
        Text(printable(severity).ljust(8), style=SEVERITY_STYLES.get(severity, "")),
        styled(alert.get("state", ""), STATE_STYLES),
        Text(printable(alert.get("title", "")), style="bold"),
        _resources(alert),
        Text(printable(alert.get("alert_id", "")), style="dim"),
    ]


def _resources(alert: Mapping[str, Any]) -> Text:
    return listed(resource["name"] for resource in alert.get("resources", []) if resource.get("name"))
