"""The command line: `event-service serve`, and commands that are gRPC clients of a running server."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from event_service.cli import db, event, token, webhook
from event_service.cli.doctor import doctor
from event_service.cli.failures import Failure
from event_service.cli.health import health
from event_service.cli.output import console
from event_service.cli.serve import serve

app = typer.Typer(
    name="event-service",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `event-service serve`, then `event-service event send --help` in a second terminal.",
)
app.command()(serve)
app.add_typer(webhook.app, name="webhook")
app.add_typer(event.app, name="event")
app.add_typer(token.app, name="token")
app.add_typer(db.app, name="db")
app.command()(doctor)
app.command()(health)


def show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"event-service {version('event-service')}")
        raise typer.Exit


@app.callback()
def event_service(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """SpaceONE's monitoring Event API and Cloud Eye's event reporting, in one process."""


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 refused or failed, 2 usage error, 3 server unreachable."""
    try:
        app()
    except Failure as failure:
        err = console(stderr=True)
        err.print(f"[bold red]error:[/] {escape(failure.message)}")
        if failure.hint:
            err.print(escape(failure.hint))
        sys.exit(failure.exit_code)
