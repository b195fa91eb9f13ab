"""`event-service token ...`: keys and tokens for those without an identity service."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from event_service.cli.failures import USAGE, Failure
from event_service.cli.options import Json
from event_service.cli.output import console, print_json
from event_service.errors import EventServiceError
from event_service.identity.principal import Role

if TYPE_CHECKING:
    from event_service.identity.issuing import Algorithm

app = typer.Typer(
    no_args_is_help=True, help="Make the keys and the tokens of EVENT_SERVICE_AUTH=jwt. Needs no running server."
)

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
ALGORITHMS: "dict[str, Algorithm]" = {"RS256": "RS256", "ES256": "ES256", "EDDSA": "EdDSA"}


@app.command()
def keygen(
    private_key: Annotated[Path, typer.Option(help="New file for the private key (0600): keep it.")] = Path("key.json"),
    jwks: Annotated[
        Path,
        typer.Option(envvar="EVENT_SERVICE_JWKS_FILE", help="Key set of the service; the public half is added to it."),
    ] = Path("jwks.json"),
    algorithm: Annotated[str, typer.Option(help="ES256, RS256 or EdDSA.")] = "ES256",
    key_id: Annotated[str, typer.Option(help="Its `kid`; a random one where absent.")] = "",
    domain_id: Annotated[str, typer.Option(help="The only domain it may sign for; every domain where absent.")] = "",
    system: Annotated[bool, typer.Option("--system", help="Let it sign SYSTEM_TOKENs too.")] = False,
    as_json: Json = False,
) -> None:
    """Make a signing key, and add its public half to the service's key set.

    Example: event-service token keygen --private-key key.json --jwks jwks.json
    """
    from event_service.identity.issuing import generate_key, write_key_pair  # noqa: PLC0415 - heavy

    chosen = ALGORITHMS.get(algorithm.upper())
    if chosen is None:
        raise Failure(f"No such algorithm: {algorithm}.", "One of ES256, RS256, EdDSA.", exit_code=USAGE)
    key = generate_key(chosen, key_id=key_id, domain_id=domain_id, system=system)
    try:
        write_key_pair(key, private_key, jwks)
    except EventServiceError as error:
        raise Failure(error.message) from error
    except OSError as error:
        raise Failure(f"{error.filename} cannot be written: {error.strerror}.") from error
    if as_json:
        print_json({"kid": key["kid"], "alg": key["alg"], "private_key": str(private_key), "jwks": str(jwks)})
        return
    out = console()
    out.print(f"Key {key['kid']} ({key['alg']}): private half in {private_key}, public half in {jwks}.", style="green")
    out.print(f"Serve with it: EVENT_SERVICE_AUTH=jwt EVENT_SERVICE_JWKS_FILE={jwks} event-service serve")


@app.command()
def issue(
    role: Annotated[
        str,
        typer.Option(
            help="DOMAIN_ADMIN, WORKSPACE_OWNER, WORKSPACE_MEMBER, SYSTEM_TOKEN; or USER, who may do nothing."
        ),
    ],
    domain_id: Annotated[str, typer.Option(help="The domain of the bearer.")],
    private_key: Annotated[Path, typer.Option(help="The private key, as keygen wrote it.")] = Path("key.json"),
    key_id: Annotated[str, typer.Option(help="Which key of a file with several; the last one where absent.")] = "",
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it holds: 90m, 12h, 30d.")] = "1h",
    workspace_id: Annotated[str, typer.Option(help="The workspace of an owner or member.")] = "",
    project_id: Annotated[list[str] | None, typer.Option(help="A project of a member; may be repeated.")] = None,
    permission: Annotated[
        list[str] | None, typer.Option(help="A prefix such as monitoring:Event; may be repeated. None: not restricted.")
    ] = None,
    audience: Annotated[str, typer.Option(help="The bearer's id.")] = "event-service",
    as_json: Json = False,
) -> None:
    """Print a token for --token or EVENT_SERVICE_TOKEN.

    Example: event-service token issue --role WORKSPACE_OWNER --domain-id d-1 --workspace-id w-1 --expires 30d
    """
    from event_service.identity.issuing import issue_token, read_private_key  # noqa: PLC0415 - heavy

    try:
        chosen = Role(role.upper())
    except ValueError as error:
        raise Failure(f"No such role: {role}.", f"One of {', '.join(Role)}.", exit_code=USAGE) from error
    try:
        token = issue_token(
            read_private_key(private_key, key_id),
            chosen,
            domain_id=domain_id,
            expires_in=parse_age(expires),
            workspace_id=workspace_id,
            projects=project_id or (),
            permissions=permission or (),
            audience=audience,
        )
    except EventServiceError as error:
        raise Failure(error.message, exit_code=USAGE) from error
    except OSError as error:
        hint = "`event-service token keygen` makes one."
        raise Failure(f"{private_key} cannot be read: {error.strerror}.", hint) from error
    if as_json:
        print_json({"token": token})
    else:
        typer.echo(token)


def parse_age(text: str) -> int:
    """`90m`, `12h`, `30d` in seconds; a bare number is seconds.

    Raises:
        Failure: it is none of these.
    """
    match = re.fullmatch(r"(\d+)([smhdw]?)", text.strip())
    if match is None:
        raise Failure(f"{text!r} is not a time.", "A number and s, m, h, d or w: 12h.", exit_code=USAGE)
    return int(match[1]) * UNITS.get(match[2], 1)
