"""The options every command that talks to a server has, declared once."""

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from event_service.cli.connection import DEFAULT_SERVER, DEFAULT_TIMEOUT, Connection
from event_service.cli.failures import USAGE, Failure

SERVER_PANEL = "The server, and who asks"

Server = Annotated[
    str,
    typer.Option(
        "--server",
        metavar="HOST:PORT",
        envvar="EVENT_SERVICE_SERVER",
        rich_help_panel=SERVER_PANEL,
        help="Where it is.",
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
        help="A token, where the server asks for one.",
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
    typer.Option("--cert-file", rich_help_panel=SERVER_PANEL, help="Our own certificate, for mutual TLS (PEM)."),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", rich_help_panel=SERVER_PANEL, help="Its private key (PEM).")
]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", rich_help_panel=SERVER_PANEL, help="How long a call may take.")
]
DomainId = Annotated[
    str,
    typer.Option("--domain-id", rich_help_panel=SERVER_PANEL, help="The domain a SYSTEM_TOKEN acts for in this call."),
]
WorkspaceId = Annotated[
    str,
    typer.Option(
        "--workspace-id", rich_help_panel=SERVER_PANEL, help="The workspace a SYSTEM_TOKEN acts for in this call."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. With --json nobody is asked either.")]


def confirm(question: str) -> None:
    """Ends the command unless somebody says yes.

    Raises:
        Failure: nobody is there to be asked.
    """
    if not sys.stdin.isatty():
        raise Failure("This asks first, and standard input is no terminal.", "Give --yes.", exit_code=USAGE)
    typer.confirm(question, abort=True, err=True)


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
    """The connection those options describe."""
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
    """Gives a command the options of `connect`, and hands it what they describe as `connection`."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "connection"]
    added = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in CONNECT_PARAMETERS.values()]

    @functools.wraps(command)
    def with_options(**given: object) -> None:
        chosen = {name: given.pop(name) for name in CONNECT_PARAMETERS}
        command(connection=connect(**chosen), **given)  # type: ignore[arg-type]

    # Typer reads the options off the signature.
    with_options.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + added
    )
    return with_options
