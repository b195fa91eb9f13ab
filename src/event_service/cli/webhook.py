"""`event-service webhook ...`: where monitoring tools deliver."""

from typing import Annotated, Any

import typer

from event_service.cli.connection import WEBHOOK, WEBHOOKS, Connection
from event_service.cli.failures import USAGE, Failure
from event_service.cli.filters import HELP, WEBHOOK_WORDS, parse_filters, parse_option
from event_service.cli.options import Json, takes_connection
from event_service.cli.output import (
    STATE_STYLES,
    console,
    print_document,
    print_fields,
    print_json,
    print_table,
    styled,
)

app = typer.Typer(no_args_is_help=True, help="Make and keep webhooks: where monitoring tools deliver.")

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK_ID", help="The webhook.")]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="A name for people.")]
ProjectId = Annotated[str, typer.Option("--project-id", metavar="PROJECT", help="The project its events belong to.")]
Plugin = Annotated[
    str,
    typer.Option(
        "--plugin", metavar="NAME", help="The parser that reads its payloads; auto: each by the format it has."
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option", metavar="NAME=VALUE", help="A setting of the parser, such as auto_recovery=false; may be repeated."
    ),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="A label; may be repeated.")]
Filters = Annotated[list[str] | None, typer.Argument(metavar="CONDITION", help=HELP)]

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
    """Make a webhook. Its access key and URL are shown this once: keep them.

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
    console().print("\nThe access key and the URL are not shown again: keep them.", style="yellow")


@app.command()
@takes_connection
def get(connection: Connection, webhook_id: WebhookId, as_json: Json = False) -> None:
    """Show one webhook.

    Example: event-service webhook get webhook-0123456789ab
    """
    answer(connection, "get", {"webhook_id": webhook_id}, as_json)


@app.command("list")
@takes_connection
def list_webhooks(
    connection: Connection,
    condition: Filters = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows at most.")] = 50,
    start: Annotated[int, typer.Option(min=1, help="Number of the first row.")] = 1,
    as_json: Json = False,
) -> None:
    """List webhooks with their counters.

    Example: event-service webhook list name~prod state=DISABLED
    """
    query: dict[str, Any] = {
        "page": {"start": start, "limit": limit},
        "filter": parse_filters(condition or (), WEBHOOK_WORDS),
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
    """Change the name or the labels (all of them) of a webhook.

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
    version: Annotated[str, typer.Option(help="Another version of a remote parser.")] = "",
    option: Options = None,
    upgrade_mode: Annotated[str, typer.Option(help="When a newer version is taken: NONE, MANUAL, AUTO.")] = "",
    as_json: Json = False,
) -> None:
    """Change the settings (all of them) of a webhook's parser.

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
                f"No such upgrade mode: {upgrade_mode}.", f"One of {', '.join(UPGRADE_MODES)}.", exit_code=USAGE
            )
        request["upgrade_mode"] = upgrade_mode.upper()
    answer(connection, "update_plugin", request, as_json)


@app.command("verify-plugin")
@takes_connection
def verify_plugin(connection: Connection, webhook_id: WebhookId, as_json: Json = False) -> None:
    """Ask whether a webhook's parser is there and accepts its settings."""
    connection.call(WEBHOOK, "verify_plugin", {"webhook_id": webhook_id})
    done(as_json, webhook_id, "The parser accepts the webhook's settings.")


@app.command()
@takes_connection
def enable(connection: Connection, webhook_id: WebhookId, as_json: Json = False) -> None:
    """Take events in again."""
    answer(connection, "enable", {"webhook_id": webhook_id}, as_json)


@app.command()
@takes_connection
def disable(connection: Connection, webhook_id: WebhookId, as_json: Json = False) -> None:
    """Refuse events until it is enabled again. Holds on every replica within one second."""
    answer(connection, "disable", {"webhook_id": webhook_id}, as_json)


@app.command("rotate-key")
@takes_connection
def rotate_key(
    connection: Connection,
    webhook_id: WebhookId,
    overlap: Annotated[
        int, typer.Option(min=0, metavar="SECONDS", help="How long the present key goes on holding beside the new one.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Give a webhook a new access key, shown this once.

    Example: event-service webhook rotate-key webhook-0123456789ab --overlap 3600
    """
    request = {"webhook_id": webhook_id, "overlap_seconds": overlap}
    body = connection.call(WEBHOOKS, "RotateKey", request).body
    webhook, until = readable(body.get("webhook", {})), body.get("previous_key_expires_at", "")
    if as_json:
        print_json({**webhook, "previous_key_expires_at": until})
        return
    print_webhook(webhook)
    console().print(f"\nThe key of before {f'holds until {until}' if until else 'no longer holds'}.", style="yellow")


@app.command()
@takes_connection
def delete(
    connection: Connection,
    webhook_id: WebhookId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a webhook. Its events stay; what is sent to it from now on is refused."""
    if not yes and not as_json and console().is_terminal:
        typer.confirm(f"Delete {webhook_id}?", abort=True)
    connection.call(WEBHOOK, "delete", {"webhook_id": webhook_id})
    done(as_json, webhook_id, f"{webhook_id} is deleted.")


@app.command()
@takes_connection
def stat(
    connection: Connection,
    by: Annotated[str, typer.Option(help="The field to count by.")] = "state",
    condition: Filters = None,
    as_json: Json = False,
) -> None:
    """Count webhooks by a field.

    Example: event-service webhook stat --by plugin_info.plugin_id
    """
    group = {"keys": [{"k": by, "n": "value"}], "fields": [{"o": "count", "n": "count"}]}
    stages = [{"group": group}, {"sort": [{"key": "count", "desc": True}, {"key": "value", "desc": False}]}]
    query = {"aggregate": stages, "filter": parse_filters(condition or (), WEBHOOK_WORDS)}
    body = connection.call(WEBHOOK, "stat", {"query": query}).body
    if as_json:
        print_json(body)
        return
    print_table(
        (by.upper(), "WEBHOOKS"), [(str(row.get("value", "")), str(row["count"])) for row in body.get("results", [])]
    )


def readable(webhook: dict[str, Any]) -> dict[str, Any]:
    """A WebhookInfo whose counters are numbers: protobuf's JSON writes 64-bit integers as strings."""
    requests = webhook.get("requests", {})
    return {**webhook, "requests": {name: int(requests.get(name, 0)) for name in ("total", "error")}}


def answer(connection: Connection, method: str, request: dict[str, Any], as_json: bool) -> None:
    """Makes a call that answers with a WebhookInfo, and prints that."""
    webhook = readable(connection.call(WEBHOOK, method, request).body)
    if as_json:
        print_json(webhook)
    else:
        print_webhook(webhook)


def done(as_json: bool, webhook_id: str, sentence: str) -> None:
    """Says that a call without an answer has worked."""
    if as_json:
        print_json({"webhook_id": webhook_id})
    else:
        console().print(sentence)


def print_webhook(webhook: dict[str, Any]) -> None:
    """One webhook, a field a line."""
    plugin = webhook.get("plugin_info", {})
    print_fields(
        (
            ("webhook", webhook.get("webhook_id", "")),
            ("name", webhook.get("name", "")),
            ("state", styled(webhook.get("state", ""), STATE_STYLES)),
            ("access key", webhook.get("access_key", "")),
            ("URL", webhook.get("webhook_url", "")),
            ("parser", plugin.get("plugin_id", "")),
            ("calls", f"{webhook['requests']['total']}, {webhook['requests']['error']} not understood"),
            ("domain", webhook.get("domain_id", "")),
            ("workspace", webhook.get("workspace_id", "")),
            ("project", webhook.get("project_id", "")),
            ("made", webhook.get("created_at", "")),
        )
    )
    if plugin.get("options"):
        print_document("options", plugin["options"])
    if webhook.get("tags"):
        print_document("tags", webhook["tags"])
