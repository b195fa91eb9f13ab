"""Keys, tokens and clocks for the identity tests."""

import base64
import functools
import json
from typing import Any

from joserfc import jws
from joserfc.jwk import JWKRegistry

from event_service.identity.claims import Rules
from event_service.identity.issuing import generate_key, public_half
from event_service.identity.key_set import KeySet, parse_key_set
from event_service.identity.tokens import REGISTRY, TokenVerifier

NOW = 1_800_000_000.0
RULES = Rules(system_token_max_age=3600)

# Made once: an RSA key takes longer than all the tests that use it.
KEYS = {algorithm: generate_key(algorithm, key_id=f"key-{algorithm}") for algorithm in ("RS256", "ES256", "EdDSA")}


class Clock:
    """A clock that tests set."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Keys:
    """A key source that tests replace the keys of."""

    def __init__(self, *private_keys: dict[str, Any]) -> None:
        self.key_set = key_set(*private_keys)

    def current(self) -> KeySet:
        return self.key_set


def key_set(*private_keys: dict[str, Any]) -> KeySet:
    return parse_key_set(json.dumps({"keys": [public_half_of(json.dumps(key)) for key in private_keys]}).encode())


@functools.cache
def public_half_of(private_key: str) -> dict[str, Any]:
    return public_half(json.loads(private_key))


@functools.cache
def imported(private_key: str) -> Any:
    """joserfc's own key: reading a private RSA key takes long enough to be noticed."""
    return JWKRegistry.import_key(json.loads(private_key))


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of an ordinary access token; a change to None leaves the claim out."""
    body: dict[str, Any] = {
        "iss": "spaceone.identity",
        "typ": "ACCESS_TOKEN",
        "own": "USER",
        "rol": "DOMAIN_ADMIN",
        "did": "domain-1",
        "aud": "user-1",
        "iat": int(NOW),
        "exp": int(NOW) + 600,
        "ver": "2.0",
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def sign(body: dict[str, Any] | str, key: dict[str, Any] = KEYS["ES256"], **header: Any) -> str:
    """A token over `body` (raw text is taken as it is); header members given as None are left out."""
    members = {"typ": "JWT", "alg": key.get("alg"), "kid": key.get("kid"), **header}
    text = body if isinstance(body, str) else json.dumps(body)
    return jws.serialize_compact(
        {name: value for name, value in members.items() if value is not None},
        text,
        imported(json.dumps(key)),
        registry=REGISTRY,
    )


def segment(value: Any) -> str:
    """One part of a hand-made token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def verifier(*private_keys: dict[str, Any], clock: Clock | None = None, **options: Any) -> TokenVerifier:
    return TokenVerifier(
        Keys(*(private_keys or KEYS.values())), options.pop("rules", RULES), clock=clock or Clock(), **options
    )
