"""`event-service token ...`: generate keys and issue tokens without an identity service."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from event_service.cli.failures import USAGE, Failure
from event_service.cli.options import Json
from event_service.cli.output import print_json, say
from event_service.errors import EventServiceError
from event_service.identity.principal import Role

if TYPE_CHECKING:
    from event_service.identity.issuing import Algorithm

app = typer.Typer(
    no_args_is_help=True, help="Generate keys and issue tokens for EVENT_SERVICE_AUTH=jwt. Needs no running server."
)

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
ALGORITHMS: "dict[str, Algorithm]" = {"RS256": "RS256", "ES256": "ES256", "EDDSA": "EdDSA"}


@app.command()
def keygen(
    private_key: Annotated[Path, typer.Option(help="New file for the private key, of mode 0600.")] = Path("key.json"),
    jwks: Annotated[
        Path,
        typer.Option(envvar="EVENT_SERVICE_JWKS_FILE", help="Key set of the service; the public key is added to it."),
    ] = Path("jwks.json"),
    algorithm: Annotated[str, typer.Option(help="ES256, RS256 or EdDSA.")] = "ES256",
    key_id: Annotated[str, typer.Option(help="`kid` of the key. Default: random.")] = "",
    domain_id: Annotated[str, typer.Option(help="The only domain whose tokens it may sign. Default: any domain.")] = "",
    system: Annotated[bool, typer.Option("--system", help="Allow it to sign SYSTEM_TOKENs.")] = False,
    as_json: Json = False,
) -> None:
    """Generate a signing key, and add its public key to the service's key set.

    Example: event-service token keygen --private-key key.json --jwks jwks.json
    """
    from event_service.identity.issuing import generate_key, write_key_pair  # noqa: PLC0415 - heavy

    chosen = ALGORITHMS.get(algorithm.upper())
    if chosen is None:
        raise Failure(f"--algorithm {algorithm} is not supported.", "Use ES256, RS256 or EdDSA.", exit_code=USAGE)
    key = generate_key(chosen, key_id=key_id, domain_id=domain_id, system=system)
    try:
        write_key_pair(key, private_key, jwks)
    except EventServiceError as error:
        raise Failure(error.message) from error
    except OSError as error:
        raise Failure(f"Cannot write {error.filename}: {error.strerror}.") from error
    if as_json:
        print_json({"kid": key["kid"], "alg": key["alg"], "private_key": str(private_key), "jwks": str(jwks)})
        return
    say(f"Key {key['kid']} ({key['alg']}): private key in {private_key}, public key in {jwks}.", style="green")
    say(f"Use it: EVENT_SERVICE_AUTH=jwt EVENT_SERVICE_JWKS_FILE={jwks} event-service serve")


@app.command()
def issue(
    role: Annotated[
        str,
        typer.Option(help="DOMAIN_ADMIN, WORKSPACE_OWNER, WORKSPACE_MEMBER, SYSTEM_TOKEN, or USER (no rights)."),
    ],
    domain_id: Annotated[str, typer.Option(help="Domain of the token.")],
    private_key: Annotated[Path, typer.Option(help="Private key file written by keygen.")] = Path("key.json"),
    key_id: Annotated[str, typer.Option(help="`kid` of a key in a file with several. Default: the last key.")] = "",
    expires: Annotated[str, typer.Option(metavar="TIME", help="Lifetime: 90m, 12h, 30d.")] = "1h",
    workspace_id: Annotated[str, typer.Option(help="Workspace of a WORKSPACE_OWNER or WORKSPACE_MEMBER.")] = "",
    project_id: Annotated[
        list[str] | None, typer.Option(help="Project of a WORKSPACE_MEMBER; may be repeated.")
    ] = None,
    permission: Annotated[
        list[str] | None,
        typer.Option(help="Permission prefix such as monitoring:Event; may be repeated. Default: not restricted."),
    ] = None,
    audience: Annotated[str, typer.Option(help="`aud` of the token: the user's id.")] = "event-service",
    as_json: Json = False,
) -> None:
    """Print a token for --token or EVENT_SERVICE_TOKEN.

    Example: event-service token issue --role WORKSPACE_OWNER --domain-id d-1 --workspace-id w-1 --expires 30d
    """
    from event_service.identity.issuing import issue_token, read_private_key  # noqa: PLC0415 - heavy

    try:
        chosen = Role(role.upper())
    except ValueError as error:
        raise Failure(f"--role {role} does not exist.", f"Use one of {', '.join(Role)}.", exit_code=USAGE) from error
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
        hint = "Generate one with `event-service token keygen`."
        raise Failure(f"Cannot read {private_key}: {error.strerror}.", hint) from error
    if as_json:
        print_json({"token": token})
    else:
        say(token, fold=False)


def parse_age(text: str) -> int:
    """Return the seconds of `90m`, `12h` or `30d`; a bare number is seconds. Raise Failure for anything else."""
    match = re.fullmatch(r"(\d+)([smhdw]?)", text.strip())
    if match is None:
        raise Failure(f"{text!r} is not a duration.", "Use a number and s, m, h, d or w, such as 12h.", exit_code=USAGE)
    return int(match[1]) * UNITS.get(match[2], 1)
