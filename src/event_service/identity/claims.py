"""What the claims of a token with a good signature make of its bearer.

Source: the Event API's rules ("Who may do what"); the claims are those upstream's identity service mints:
`did` domain, `wid` workspace, `rol` role, `typ` kind of token, `own` kind of owner, `projects`, `permissions`,
`ver` "2.0", `aud` the user's or app's id, `iat`, `nbf`, `exp` (seconds since 1970, UTC).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from event_service.identity.principal import Principal, Role

VERSION = "2.0"

SYSTEM_TOKEN = "SYSTEM_TOKEN"  # noqa: S105 - a kind of token, not a secret

# REFRESH_TOKEN is upstream's one other kind and buys new tokens only. A kind nobody here has heard of was made for
# some other purpose, and so is refused like it; a token without `typ` counts as an access token.
BEARER_TOKENS = frozenset({"ACCESS_TOKEN", "CLIENT_SECRET", "API_KEY", SYSTEM_TOKEN, ""})

# How far (s) a signer's clock may run ahead where `iat` decides how long a token lives.
CLOCK_SKEW = 60


class InvalidTokenError(ValueError):
    """The token does not hold; the text says why, for our own log only."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may set.

    Attributes:
        system_token_max_age: seconds after `iat` at which a SYSTEM_TOKEN without `exp` ends.
        audience: what `aud` must be or contain; "" = anything, since upstream puts the user's id there.
    """

    system_token_max_age: int
    audience: str = ""


def principal_of(
    claims: Mapping[str, Any], now: float, rules: Rules, *, key_domain_id: str = ""
) -> tuple[Principal, float]:
    """The bearer of a token, and until when (s since 1970) the token holds.

    For a SYSTEM_TOKEN the domain is its key's and the workspace empty: each call names both in its metadata.

    Args:
        key_domain_id: the only domain that the key which signed the token signs for; "" = every domain.

    Raises:
        InvalidTokenError: the claims are incomplete, contradict each other or are not in force.
    """
    kind = _text(claims, "typ")
    if kind not in BEARER_TOKENS:
        raise InvalidTokenError(f"typ {kind!r} is not a bearer token")
    if claims.get("injected_params") is not None:
        raise InvalidTokenError("injected_params would rewrite the request")
    if claims.get("ver", VERSION) != VERSION:
        raise InvalidTokenError("ver is not 2.0")
    _check_audience(claims, rules.audience)
    expires_at = _expiry(claims, now, rules)
    domain_id = _text(claims, "did")
    if not domain_id:
        raise InvalidTokenError("did is missing")
    if kind == SYSTEM_TOKEN:
        return Principal(Role.SYSTEM_TOKEN, key_domain_id), expires_at
    return _bearer(claims, domain_id), expires_at


def _bearer(claims: Mapping[str, Any], domain_id: str) -> Principal:
    role = _role(claims)
    workspace_id = _text(claims, "wid")
    projects, permissions = _texts(claims, "projects"), _texts(claims, "permissions")
    if claims.get("own") == "APP" and (projects is None or not permissions):
        # Upstream asks its identity service for these; a token that lacks them would be unrestricted here.
        raise InvalidTokenError("an APP token without permissions and projects of its own")
    if role in (Role.WORKSPACE_OWNER, Role.WORKSPACE_MEMBER):
        if not workspace_id:
            raise InvalidTokenError(f"{role} without wid")
    else:
        workspace_id = ""
    if role is Role.WORKSPACE_MEMBER:
        projects = projects or ()
    return Principal(
        role,
        domain_id,
        workspace_id,
        projects=projects if role is Role.WORKSPACE_MEMBER else projects or None,
        permissions=permissions or (),
    )


def _role(claims: Mapping[str, Any]) -> Role:
    """Only `typ` makes a system token; `rol` SYSTEM_TOKEN on any other is as unknown as the rest."""
    role = _text(claims, "rol")
    if role in (Role.DOMAIN_ADMIN, Role.WORKSPACE_OWNER, Role.WORKSPACE_MEMBER):
        return Role(role)
    return Role.USER


def _expiry(claims: Mapping[str, Any], now: float, rules: Rules) -> float:
    not_before = _time(claims, "nbf")
    if not_before is not None and now < not_before:
        raise InvalidTokenError("nbf is still to come")
    expires_at, issued_at = _time(claims, "exp"), _time(claims, "iat")
    if expires_at is None:
        if claims.get("typ") != SYSTEM_TOKEN:
            raise InvalidTokenError("exp is missing")
        if issued_at is None or issued_at > now + CLOCK_SKEW:
            raise InvalidTokenError("neither exp nor a credible iat")
        expires_at = issued_at + rules.system_token_max_age
    if now >= expires_at:
        raise InvalidTokenError("expired")
    return expires_at


def _check_audience(claims: Mapping[str, Any], audience: str) -> None:
    given = claims.get("aud")
    names = given if isinstance(given, list) else [] if given is None else [given]
    if not all(isinstance(name, str) for name in names):
        raise InvalidTokenError("aud is not a string")
    if audience and audience not in names:
        raise InvalidTokenError("aud is somebody else")


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # bool is an int, and NaN compares false with everything: it would never expire.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTokenError(f"{name} is not a number")
    try:
        seconds = float(value)
    except OverflowError as error:
        raise InvalidTokenError(f"{name} is out of range") from error
    if not math.isfinite(seconds):
        raise InvalidTokenError(f"{name} is not finite")
    return seconds


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidTokenError(f"{name} is not a string")
    return value


def _texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidTokenError(f"{name} is not a list of strings")
    return tuple(value)
