"""Options of all commands that call a server."""

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from event_service.cli.connection import DEFAULT_SERVER, DEFAULT_TIMEOUT, Connection
from event_service.cli.failures import USAGE, Failure
from event_service.printable import printable

SERVER_PANEL = "Server and authentication"

Server = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        envvar="EVENT_SERVICE_SERVER",
        rich_help_panel=SERVER_PANEL,
        help="Address of the server.",
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        metavar="JWT",
        envvar="EVENT_SERVICE_TOKEN",
        show_envvar=True,
        rich_help_panel=SERVER_PANEL,
        help="Bearer token, if the server uses authentication.",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        envvar="EVENT_SERVICE_CA_FILE",
        rich_help_panel=SERVER_PANEL,
        help="Use TLS and trust these root certificates (PEM).",
    ),
]
CertFile = Annotated[
    Path | None,
    typer.Option("--cert-file", rich_help_panel=SERVER_PANEL, help="Client certificate for mutual TLS (PEM)."),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", rich_help_panel=SERVER_PANEL, help="Private key of --cert-file (PEM).")
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", rich_help_panel=SERVER_PANEL, help="Deadline of a call.")
]
DomainId = Annotated[
    str,
    typer.Option("--domain-id", rich_help_panel=SERVER_PANEL, help="Domain of this call, for a SYSTEM_TOKEN."),
]
WorkspaceId = Annotated[
    str,
    typer.Option("--workspace-id", rich_help_panel=SERVER_PANEL, help="Workspace of this call, for a SYSTEM_TOKEN."),
]
Limit = Annotated[int, typer.Option(min=1, help="Maximum number of rows.")]
Start = Annotated[int, typer.Option(min=1, help="Number of the first row.")]
Sort = Annotated[
    list[str] | None,
    typer.Option(metavar="FIELD", help="Sort by FIELD, or -FIELD for descending order; may be repeated."),
]
Keyword = Annotated[str, typer.Option(help="Search words in ids and titles.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation. --json does not ask either.")]


def confirm(question: str) -> None:
    """Ask for confirmation; abort the command on no.

    Raises:
        Failure: standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise Failure(
            "This command asks for confirmation, but standard input is not a terminal.", "Use --yes.", exit_code=USAGE
        )
    typer.confirm(printable(question), abort=True, err=True)


def connect(
    server: Server = DEFAULT_SERVER,
    token: Token = "",
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    domain_id: DomainId = "",
    workspace_id: WorkspaceId = "",
) -> Connection:
    scope = {"x_domain_id": domain_id, "x_workspace_id": workspace_id}
    return Connection(
        server=server,
        token=token,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        timeout=timeout,
        scope={key: value for key, value in scope.items() if value},
    )


CONNECT_PARAMETERS = inspect.signature(connect, eval_str=True).parameters


def takes_connection(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command: add the options of `connect`, and pass their result as `connection`."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "connection"]
    added = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in CONNECT_PARAMETERS.values()]

    @functools.wraps(command)
    def with_options(**given: object) -> None:
        chosen = {name: given.pop(name) for name in CONNECT_PARAMETERS}
        command(connection=connect(**chosen), **given)  # type: ignore[arg-type]

    # Typer reads the options from the signature.
    with_options.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + added
    )
    return with_options
