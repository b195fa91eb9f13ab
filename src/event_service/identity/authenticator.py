"""Authentication: a call's metadata becomes a Principal."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from event_service.errors import Unauthenticated
from event_service.identity.claims import Rules
from event_service.identity.key_file import KeyFile
from event_service.identity.key_set import KeySetError
from event_service.identity.principal import Principal, Role
from event_service.identity.tokens import TokenVerifier
from event_service.settings import Settings


class Authenticator(Protocol):
    """Authenticates callers."""

    def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        """Return the caller.

        Args:
            metadata: gRPC metadata or HTTP headers, names in lower case.

        Raises:
            Unauthenticated: the token is missing or invalid.
        """
        ...

    def key_fault(self) -> str:
        """Return why the keys that verify tokens cannot be loaded at present; "" if they can."""
        ...


class NoAuthentication:
    """`EVENT_SERVICE_AUTH=none`: every caller acts for one configured workspace. Tokens are ignored."""

    def __init__(self, domain_id: str, workspace_id: str) -> None:
        self._principal = Principal(Role.WORKSPACE_OWNER, domain_id, workspace_id)

    def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        """Return the configured principal."""
        return self._principal

    def key_fault(self) -> str:
        return ""


class TokenAuthentication:
    """`EVENT_SERVICE_AUTH=jwt`: a JWT in the metadata key `token`, or as `authorization: Bearer`."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        """Return the token's bearer. x_domain_id and x_workspace_id name the tenant a SYSTEM_TOKEN acts for.

        Raises:
            Unauthenticated: the token is missing or invalid, or a SYSTEM_TOKEN's key is bound to another domain.
        """
        token = bearer_token(metadata)
        if not token:
            raise Unauthenticated
        principal = self._verifier.verify(token)
        if principal.role is Role.SYSTEM_TOKEN:
            domain_id = metadata.get("x_domain_id", "")
            if domain_id and principal.domain_id not in ("", domain_id):
                raise Unauthenticated  # a domain's key must not sign for another domain
            return replace(principal, domain_id=domain_id, workspace_id=metadata.get("x_workspace_id", ""))
        return principal

    def key_fault(self) -> str:
        return self._verifier.key_fault()


def bearer_token(metadata: Mapping[str, str]) -> str:
    """Return the token of a call, "" without. Upstream's key `token` takes precedence over `authorization`."""
    token = metadata.get("token", "")
    if token:
        return token
    scheme, _, credentials = metadata.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else ""


def make_authenticator(settings: Settings, *, clock: Callable[[], float] = time.time) -> Authenticator:
    """Create the authenticator that the settings configure.

    Args:
        clock: Unix seconds.

    Raises:
        KeySetError: auth=jwt without a usable key file; the text is one line for the operator.
    """
    if settings.auth == "none":
        return NoAuthentication(settings.default_domain_id, settings.default_workspace_id)
    if settings.jwks_file is None:
        raise KeySetError("EVENT_SERVICE_AUTH=jwt needs EVENT_SERVICE_JWKS_FILE")
    rules = Rules(settings.system_token_max_age, settings.token_audience)
    try:
        keys = KeyFile(settings.jwks_file)
    except KeySetError as error:
        raise KeySetError(f"EVENT_SERVICE_JWKS_FILE: {error}") from error
    return TokenAuthentication(TokenVerifier(keys, rules, clock=clock))
