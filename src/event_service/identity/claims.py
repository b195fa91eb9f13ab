"""Validation of the claims of a token whose signature is valid.

Source: the Event API's rules ("Who may do what"); the claims are those that upstream's identity service issues:
`did` domain, `wid` workspace, `rol` role, `typ` kind of token, `own` kind of owner, `projects`, `permissions`,
`ver` "2.0", `aud` the user's or app's id, `iat`, `nbf`, `exp` (Unix seconds).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from event_service.identity.principal import Principal, Role

VERSION = "2.0"

SYSTEM_TOKEN = "SYSTEM_TOKEN"  # noqa: S105 - a kind of token, not a secret

# Upstream's REFRESH_TOKEN only obtains new tokens and is refused, as are unknown kinds, which have other purposes. A
# token without `typ` counts as an access token.
BEARER_TOKENS = frozenset({"ACCESS_TOKEN", "CLIENT_SECRET", "API_KEY", SYSTEM_TOKEN, ""})

# Seconds that a signer's clock may be ahead where `iat` decides the expiry.
CLOCK_SKEW = 60


class InvalidTokenError(ValueError):
    """The token is invalid; the reason is for the log only, callers get one text for all."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The configurable rules.

    Attributes:
        system_token_max_age: seconds from `iat` to the expiry of a SYSTEM_TOKEN without `exp`.
        audience: required value or member of `aud`; "" accepts any, since upstream puts the user's id there.
    """

    system_token_max_age: int
    audience: str = ""


def principal_of(
    claims: Mapping[str, Any], now: float, rules: Rules, *, key_domain_id: str = ""
) -> tuple[Principal, float]:
    """Return the bearer of a token and its expiry in Unix seconds.

    For a SYSTEM_TOKEN the domain is its key's and the workspace empty: each call names both in its metadata.

    Args:
        now: Unix seconds.
        key_domain_id: the only domain that the signing key is bound to; "" for every domain.

    Raises:
        InvalidTokenError: the claims are incomplete, contradictory, expired or not yet valid.
    """
    kind = _text(claims, "typ")
    if kind not in BEARER_TOKENS:
        raise InvalidTokenError(f"typ {kind!r} is not a bearer token")
    if claims.get("injected_params") is not None:
        raise InvalidTokenError("injected_params is not supported")
    if claims.get("ver", VERSION) != VERSION:
        raise InvalidTokenError("ver is not 2.0")
    _check_audience(claims, rules.audience)
    expires_at = _expiry(claims, now, rules)
    domain_id = _text(claims, "did")
    if not domain_id:
        raise InvalidTokenError("did is missing")
    if kind == SYSTEM_TOKEN:
        return Principal(Role.SYSTEM_TOKEN, key_domain_id, user_id=_user_id(claims)), expires_at
    return _bearer(claims, domain_id), expires_at


def _bearer(claims: Mapping[str, Any], domain_id: str) -> Principal:
    role = _role(claims)
    workspace_id = _text(claims, "wid")
    projects, permissions = _texts(claims, "projects"), _texts(claims, "permissions")
    if claims.get("own") == "APP" and (projects is None or not permissions):
        # Upstream asks its identity service for these; without them the token would be unrestricted here.
        raise InvalidTokenError("an APP token without permissions or projects")
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
        user_id=_user_id(claims),
    )


def _role(claims: Mapping[str, Any]) -> Role:
    # Only `typ` makes a system token: `rol` SYSTEM_TOKEN of any other kind is an unknown role.
    role = _text(claims, "rol")
    if role in (Role.DOMAIN_ADMIN, Role.WORKSPACE_OWNER, Role.WORKSPACE_MEMBER):
        return Role(role)
    return Role.USER


def _expiry(claims: Mapping[str, Any], now: float, rules: Rules) -> float:
    not_before = _time(claims, "nbf")
    if not_before is not None and now < not_before:
        raise InvalidTokenError("nbf is in the future")
    expires_at, issued_at = _time(claims, "exp"), _time(claims, "iat")
    if expires_at is None:
        if claims.get("typ") != SYSTEM_TOKEN:
            raise InvalidTokenError("exp is missing")
        if issued_at is None or issued_at > now + CLOCK_SKEW:
            raise InvalidTokenError("exp is missing, and iat is missing or in the future")
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
        raise InvalidTokenError("aud does not match EVENT_SERVICE_TOKEN_AUDIENCE")


def _user_id(claims: Mapping[str, Any]) -> str:
    # Upstream puts the user's id into `aud`; other issuers put it into `sub`, and the service's name into `aud`.
    audience = claims.get("aud")
    names = [claims.get("sub"), *(audience if isinstance(audience, list) else [audience])]
    return next((name for name in names if isinstance(name, str) and name), "")


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
