"""The command line: `event-service serve`, and commands that are gRPC clients of a running server."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from event_service.cli import alert, db, event, token, webhook
from event_service.cli.doctor import doctor
from event_service.cli.failures import FAILED, Failure
from event_service.cli.health import health
from event_service.cli.output import print_error, say, tolerate_encoding
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
app.add_typer(alert.app, name="alert")
app.add_typer(token.app, name="token")
app.add_typer(db.app, name="db")
app.command()(doctor)
app.command()(health)


def show_version(requested: bool) -> None:
    if requested:
        say(f"event-service {version('event-service')}")
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
    tolerate_encoding()
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except Failure as failure:
        print_error(failure.message, failure.hint)
        sys.exit(failure.exit_code)
    except typer.TyperException as error:  # of the arguments; empty where the help was printed instead
        if message := error.format_message():
            path = context.command_path if (context := getattr(error, "ctx", None)) else "event-service"
            print_error(message, f"Try `{path} --help`.")
        sys.exit(error.exit_code)
    except typer.Abort:
        say("Aborted.", stderr=True)
        sys.exit(FAILED)
