"""Keys and tokens without an identity service: `event-service token keygen` and `token issue`.

The claims are upstream's, so that the tokens work wherever upstream's do; the keys are ordinary JWKs.
"""

import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from event_service.errors import AlreadyExists, InvalidArgument
from event_service.identity.claims import SYSTEM_TOKEN, VERSION
from event_service.identity.key_set import KeySetError, parse_key_set, verification_key
from event_service.identity.principal import Role
from event_service.identity.tokens import REGISTRY

Algorithm = Literal["RS256", "ES256", "EdDSA"]

ISSUER = "event-service"


def generate_key(
    algorithm: Algorithm = "ES256", *, key_id: str = "", domain_id: str = "", system: bool = False
) -> dict[str, Any]:
    """Generate a private key as JWK.

    Args:
        key_id: its `kid`; "" for a random one.
        domain_id: the only domain it may sign for; "" for every domain.
        system: allow it to sign SYSTEM_TOKENs.
    """
    parameters: dict[str, Any] = {"kid": key_id or secrets.token_hex(8), "use": "sig", "alg": algorithm}
    key: RSAKey | ECKey | OKPKey
    if algorithm == "RS256":
        key = RSAKey.generate_key(3072)
    elif algorithm == "ES256":
        key = ECKey.generate_key("P-256")
    else:
        key = OKPKey.generate_key("Ed25519")
    if domain_id:
        parameters["domain_id"] = domain_id
    if system:
        parameters["system"] = True
    return {**key.as_dict(private=True), **parameters}


def public_half(private_key: Mapping[str, Any]) -> dict[str, Any]:
    """Return the public JWK: all but the private members."""
    return dict(JWKRegistry.import_key(dict(private_key)).as_dict(private=False))


def write_key_pair(private_key: Mapping[str, Any], private_path: Path, jwks_path: Path) -> None:
    """Write the private key (a new file, 0600) and add its public half to the key set (created if missing).

    The key set is replaced atomically: a running service reads the old or the new one.

    Raises:
        AlreadyExists: the private file exists, or the key set has a key with this `kid`.
        InvalidArgument: the key set file is not a key set.
        OSError: a file cannot be written.
    """
    document = _read_key_set(jwks_path)
    key_id = private_key.get("kid")
    if any(isinstance(key, dict) and key.get("kid") == key_id for key in document["keys"]):
        raise AlreadyExists(f"{jwks_path} already has a key {key_id!r}; choose another key id.")
    try:
        descriptor = os.open(private_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise AlreadyExists(f"{private_path} exists; choose another file: private keys are not overwritten.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps({"keys": [dict(private_key)]}, indent=2) + "\n")
    document["keys"].append(public_half(private_key))
    try:
        _replace(jwks_path, json.dumps(document, indent=2) + "\n")
    except OSError:
        # An unpublished private key would only block the next attempt.
        private_path.unlink(missing_ok=True)
        raise


def read_private_key(path: Path, key_id: str = "") -> dict[str, Any]:
    """Read the private key from a JWK, or from a key set by `key_id` ("" for the last key).

    Raises:
        InvalidArgument: the file has no such key.
        OSError: the file cannot be read.
    """
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidArgument(f"{path} is not JSON.") from error
    members = document.get("keys", [document]) if isinstance(document, dict) else []
    found = [
        key
        for key in (members if isinstance(members, list) else [])
        if isinstance(key, dict) and "d" in key and (not key_id or key.get("kid") == key_id)
    ]
    if not found:
        raise InvalidArgument(f"{path} has no private key{f' {key_id!r}' if key_id else ''}.")
    return dict(found[-1])


def issue_token(
    private_key: Mapping[str, Any],
    role: Role,
    *,
    domain_id: str,
    expires_in: int,
    workspace_id: str = "",
    projects: Sequence[str] = (),
    permissions: Sequence[str] = (),
    audience: str = "event-service",
    clock: Callable[[], float] = time.time,
) -> str:
    """Sign a token with upstream's claims.

    Args:
        domain_id: of the bearer; a SYSTEM_TOKEN names the domain it acts for at each call.
        expires_in: seconds from now.
        projects: of a WORKSPACE_MEMBER; without any, the member sees nothing.
        permissions: prefixes such as `monitoring:Event`; empty for no restriction.
        audience: the user's id.

    Raises:
        InvalidArgument: the service would refuse such a token.
    """
    system = role is Role.SYSTEM_TOKEN
    if not domain_id:
        raise InvalidArgument.at("domain_id", "is required: a token belongs to one domain")
    if role in (Role.WORKSPACE_OWNER, Role.WORKSPACE_MEMBER) and not workspace_id:
        raise InvalidArgument.at("workspace_id", f"is required for a {role}")
    if expires_in < 1:
        raise InvalidArgument.at("expires", "must be in the future")
    try:
        key = verification_key(private_key)
        signing_key = JWKRegistry.import_key(dict(private_key))
    except (KeySetError, JoseError, ValueError) as error:
        raise InvalidArgument(f"The key cannot sign tokens: {error}") from error
    if key.domain_id not in ("", domain_id):
        raise InvalidArgument.at("domain_id", f"the key signs for {key.domain_id} only; use that domain or another key")
    if system and not key.system:
        raise InvalidArgument.at("role", "a SYSTEM_TOKEN needs a key made with --system")
    now = int(clock())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "typ": SYSTEM_TOKEN if system else "ACCESS_TOKEN",
        "own": "SYSTEM" if system else "USER",
        "did": domain_id,
        "aud": audience,
        "iat": now,
        "exp": now + expires_in,
        "jti": secrets.token_hex(8),
        "ver": VERSION,
    }
    if not system:
        claims["rol"] = str(role)
        claims.update({"wid": workspace_id} if workspace_id else {})
        if projects or role is Role.WORKSPACE_MEMBER:
            claims["projects"] = list(projects)
        claims.update({"permissions": list(permissions)} if permissions else {})
    header = {"typ": "JWT", "alg": key.algorithm, **({"kid": key.key_id} if key.key_id else {})}
    return jws.serialize_compact(header, json.dumps(claims, separators=(",", ":")), signing_key, registry=REGISTRY)


def _read_key_set(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {"keys": []}
    try:
        parse_key_set(content)
    except KeySetError as error:
        raise InvalidArgument(f"{path}: {error}") from error
    document = json.loads(content)  # the JSON itself: unknown members must survive the rewrite
    return document if "keys" in document else {"keys": [document]}


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        # Public keys: the service may run as another user.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
