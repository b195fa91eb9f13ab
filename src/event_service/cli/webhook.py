"""`event-service webhook ...`: manage the webhooks that monitoring tools post to."""

import base64
from pathlib import Path
from typing import Annotated, Any

import typer

from event_service.cli.completion import webhook_conditions, webhook_ids
from event_service.cli.connection import WEBHOOK, WEBHOOKS, Connection
from event_service.cli.failures import USAGE, Failure
from event_service.cli.filters import HELP, WEBHOOK_SHORTHAND, parse_filters, parse_option
from event_service.cli.options import Json, Yes, confirm, takes_connection
from event_service.cli.output import (
    STATE_STYLES,
    print_json,
    print_table,
    say,
    skip_line,
    styled,
)
from event_service.cli.payload import read_input
from event_service.cli.webhook_output import numbers, print_preview, print_statistics, print_webhook, readable

app = typer.Typer(no_args_is_help=True, help="Manage the webhooks that monitoring tools post to.")

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK_ID", help="The webhook.", autocompletion=webhook_ids)]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Display name.")]
ProjectId = Annotated[str, typer.Option("--project-id", metavar="PROJECT", help="Project of its events.")]
Plugin = Annotated[
    str,
    typer.Option("--plugin", metavar="NAME", help="Parser of its payloads; auto: detect the format of each payload."),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="NAME=VALUE", help="Option of the webhook, such as auto_recovery=false; may be repeated."
    ),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="A label; may be repeated.")]
Filters = Annotated[list[str] | None, typer.Argument(metavar="CONDITION", help=HELP, autocompletion=webhook_conditions)]

UPGRADE_MODES = ("NONE", "MANUAL", "AUTO")


@app.command()
@takes_connection
def create(
    connection: Connection,
    name: Name,
    project_id: ProjectId,
    plugin: Plugin = "auto",
    option: Options = None,
    tag: Tags = None,
    as_json: Json = False,
) -> None:
    """Create a webhook. Its access key and URL are shown only once: save them.

    Example: event-service webhook create --name alertmanager --project-id project-1 --option duplicate_event_time=300
    """
    request: dict[str, Any] = {
        "name": name,
        "project_id": project_id,
        "plugin_info": {"plugin_id": plugin, "options": dict(map(parse_option, option or []))},
    }
    if tag:
        request["tags"] = dict(map(parse_option, tag))
    made = readable(connection.call(WEBHOOK, "create", request).body)
    if as_json:
        print_json(made)
        return
    print_webhook(made)
    skip_line()
    say("Save the access key and the URL: they are not shown again.", style="yellow")


@app.command()
@takes_connection
def get(connection: Connection, webhook_id: WebhookId, as_json: Json = False) -> None:
    """Show one webhook and the statistics of its deliveries.

    Example: event-service webhook get webhook-0123456789ab
    """
    webhook = readable(connection.call(WEBHOOK, "get", {"webhook_id": webhook_id}).body)
    statistics = numbers(connection.call(WEBHOOKS, "Statistics", {"webhook_id": webhook_id}).body)
    if as_json:
        print_json({**webhook, "statistics": statistics})
        return
    print_webhook(webhook)
    print_statistics(statistics)


@app.command("test")
@takes_connection
def preview(
    connection: Connection,
    webhook_id: WebhookId,
    payload: Annotated[Path, typer.Argument(metavar="FILE", help="Payload of the tool; - is standard input.")] = Path(
        "-"
    ),
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="NAME:VALUE", help="HTTP header of the tool; may be repeated."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the events of a payload without storing them. Signatures are not verified.

    Example: event-service webhook test webhook-0123456789ab < payload.json
    """
    body = base64.b64encode(read_input(payload)).decode()
    request = {"webhook_id": webhook_id, "body": body, "headers": dict(map(parse_header, header or []))}
    shown = connection.call(WEBHOOKS, "Test", request).body
    outcome = {
        "parser": shown.get("parser", ""),
        "events": shown.get("events", []),
        "faults": shown.get("faults", []),
        "ignored": shown.get("ignored", []),
        "message_id": shown.get("message_id", ""),
    }
    if as_json:
        print_json(outcome)
    else:
        print_preview(outcome)


@app.command("list")
@takes_connection
def list_webhooks(
    connection: Connection,
    condition: Filters = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows.")] = 50,
    start: Annotated[int, typer.Option(min=1, help="Number of the first row.")] = 1,
    as_json: Json = False,
) -> None:
    """List webhooks with their counters.

    Example: event-service webhook list name~prod state=DISABLED
    """
    query: dict[str, Any] = {
        "page": {"start": start, "limit": limit},
        "filter": parse_filters(condition or (), WEBHOOK_SHORTHAND),
    }
    body = connection.call(WEBHOOK, "list", {"query": query}).body
    rows = [readable(row) for row in body.get("results", [])]
    if as_json:
        print_json({"results": rows, "total_count": body.get("total_count", 0)})
        return
    print_table(
        ("WEBHOOK", "STATE", "PARSER", "CALLS", "ERRORS", "PROJECT", "NAME"),
        [
            (
                row["webhook_id"],
                styled(row.get("state", ""), STATE_STYLES),
                row.get("plugin_info", {}).get("plugin_id", ""),
                str(row["requests"]["total"]),
                str(row["requests"]["error"]),
                row.get("project_id", ""),
                row.get("name", ""),
            )
            for row in rows
        ],
        note=f"{len(rows)} of {body.get('total_count', 0)}",
    )


@app.command()
@takes_connection
def update(
    connection: Connection,
    webhook_id: WebhookId,
    name: Name = "",
    tag: Tags = None,
    as_json: Json = False,
) -> None:
    """Change the name of a webhook, or replace all its labels.

    Example: event-service webhook update webhook-0123456789ab --name "grafana, second floor"
    """
    request: dict[str, Any] = {"webhook_id": webhook_id}
    if name:
        request["name"] = name
    if tag:
        request["tags"] = dict(map(parse_option, tag))
    answer(connection, "update", request, as_json)


@app.command("update-plugin")
@takes_connection
def update_plugin(
    connection: Connection,
    webhook_id: WebhookId,
    version: Annotated[str, typer.Option(help="Version of a remote plugin.")] = "",
    option: Options = None,
    upgrade_mode: Annotated[str, typer.Option(help="Upgrades to newer versions: NONE, MANUAL or AUTO.")] = "",
    as_json: Json = False,
) -> None:
    """Replace all options of a webhook, or change version and upgrade mode of its plugin.

    Example: event-service webhook update-plugin webhook-0123456789ab --option auto_recovery=false
    """
    request: dict[str, Any] = {"webhook_id": webhook_id}
    if version:
        request["version"] = version
    if option:
        request["options"] = dict(map(parse_option, option))
    if upgrade_mode:
        if upgrade_mode.upper() not in UPGRADE_MODES:
            raise Failure(
                f"--upgrade-mode {upgrade_mode} does not exist.",
                f"Use one of {', '.join(UPGRADE_MODES)}.",
                exit_code=USAGE,
            )
        request["upgrade_mode"] = upgrade_mode.upper()
    answer(connection, "update_plugin", request, as_json)


@app.command("verify-plugin")
@takes_connection
def verify_plugin(connection: Connection, webhook_id: WebhookId, as_json: Json = False) -> None:
    """Check that the plugin of a webhook is available and accepts the webhook's options."""
    connection.call(WEBHOOK, "verify_plugin", {"webhook_id": webhook_id})
    done(as_json, webhook_id, "The plugin accepts the webhook's options.")


@app.command()
@takes_connection
def enable(connection: Connection, webhook_id: WebhookId, as_json: Json = False) -> None:
    """Accept events again."""
    answer(connection, "enable", {"webhook_id": webhook_id}, as_json)


@app.command()
@takes_connection
def disable(connection: Connection, webhook_id: WebhookId, as_json: Json = False) -> None:
    """Refuse events until it is enabled again. Takes effect on all replicas within a second."""
    answer(connection, "disable", {"webhook_id": webhook_id}, as_json)


@app.command("rotate-key")
@takes_connection
def rotate_key(
    connection: Connection,
    webhook_id: WebhookId,
    overlap: Annotated[int, typer.Option(min=0, metavar="SECONDS", help="Time the old key stays valid.")] = 0,
    as_json: Json = False,
) -> None:
    """Replace the access key of a webhook; the new one is shown only once.

    Example: event-service webhook rotate-key webhook-0123456789ab --overlap 3600
    """
    request = {"webhook_id": webhook_id, "overlap_seconds": overlap}
    body = connection.call(WEBHOOKS, "RotateKey", request).body
    webhook, until = readable(body.get("webhook", {})), body.get("previous_key_expires_at", "")
    if as_json:
        print_json({**webhook, "previous_key_expires_at": until})
        return
    print_webhook(webhook)
    skip_line()
    say(f"The old key is {f'valid until {until}' if until else 'no longer valid'}.", style="yellow")


@app.command()
@takes_connection
def delete(
    connection: Connection,
    webhook_id: WebhookId,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete a webhook. Its events stay; new events for it are refused."""
    if not yes and not as_json:
        confirm(f"Delete {webhook_id}?")
    connection.call(WEBHOOK, "delete", {"webhook_id": webhook_id})
    done(as_json, webhook_id, f"{webhook_id} is deleted.")


@app.command()
@takes_connection
def stat(
    connection: Connection,
    by: Annotated[str, typer.Option(help="Field to group by.")] = "state",
    condition: Filters = None,
    as_json: Json = False,
) -> None:
    """Count webhooks by a field.

    Example: event-service webhook stat --by plugin_info.plugin_id
    """
    group = {"keys": [{"k": by, "n": "value"}], "fields": [{"o": "count", "n": "count"}]}
    stages = [{"group": group}, {"sort": [{"key": "count", "desc": True}, {"key": "value", "desc": False}]}]
    query = {"aggregate": stages, "filter": parse_filters(condition or (), WEBHOOK_SHORTHAND)}
    body = connection.call(WEBHOOK, "stat", {"query": query}).body
    if as_json:
        print_json(body)
        return
    print_table(
        (by.upper(), "WEBHOOKS"), [(str(row.get("value", "")), str(row["count"])) for row in body.get("results", [])]
    )


def parse_header(text: str) -> tuple[str, str]:
    """Parse `Name: value` of --header; raise Failure without name or colon."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Failure(f"{text!r} is not of the form name:value.", exit_code=USAGE)
    return name.strip(), value.strip()


def answer(connection: Connection, method: str, request: dict[str, Any], as_json: bool) -> None:
    """Make a call that returns a WebhookInfo, and print it."""
    webhook = readable(connection.call(WEBHOOK, method, request).body)
    if as_json:
        print_json(webhook)
    else:
        print_webhook(webhook)


def done(as_json: bool, webhook_id: str, sentence: str) -> None:
    """Report the success of a call without a result."""
    if as_json:
        print_json({"webhook_id": webhook_id})
    else:
        say(sentence)
