"""Checks a token's signature and claims; remembers those that hold until they expire.

Source: RFC 7515, 7519, 8725; the Event API's rules ("Who may do what").
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Protocol

from cachetools import FIFOCache
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jws import JWSRegistry

from event_service.errors import Unauthenticated
from event_service.identity.claims import SYSTEM_TOKEN, InvalidTokenError, Rules, principal_of
from event_service.identity.key_set import ALGORITHMS, KeySet, VerificationKey
from event_service.identity.principal import Principal

logger = logging.getLogger(__name__)

# gRPC cuts metadata off at 16 KB and HTTP servers their headers at about as much: longer is no token.
LONGEST_TOKEN = 16 * 1024

# A token without `kid` is tried against the keys of its domain; more of them than this is no honest key set.
MOST_CANDIDATES = 8

REMEMBERED_TOKENS = 4096


class KeySource(Protocol):
    """Where the keys come from. An unchanged key set is the same object."""

    def current(self) -> KeySet: ...


class AllowedAlgorithms(JWSRegistry):
    """The allow-list, also for EdDSA, which joserfc only knows with a warning since RFC 9864 renamed it."""

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError(f"{name!r} is not allowed")
        return self.algorithms[name]


# Unknown header members are ignored (RFC 7515 section 4); unknown *critical* ones are refused below.
REGISTRY = AllowedAlgorithms(strict_check_header=False)


class TokenVerifier:
    """Turns tokens into principals."""

    def __init__(
        self,
        keys: KeySource,
        rules: Rules,
        *,
        clock: Callable[[], float] = time.time,
        remembered: int = REMEMBERED_TOKENS,
    ) -> None:
        """
        Args:
            clock: seconds since 1970, UTC.
            remembered: how many verified tokens are kept; the oldest go first.
        """
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._key_set = keys.current()
        self._known: FIFOCache[bytes, tuple[Principal, float]] = FIFOCache(remembered)

    def verify(self, token: str) -> Principal:
        """The bearer of `token`. A SYSTEM_TOKEN's domain is the only one it may act for, "" where it may for any.

        Raises:
            Unauthenticated: whatever is wrong with it, with one text.
        """
        key_set = self._keys.current()
        if key_set is not self._key_set:
            # What a key vouched for ends with the key.
            self._key_set = key_set
            self._known.clear()
        now = self._clock()
        # The digest, so that no token lies about in memory longer than its call.
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None:
            principal, expires_at = known
            if now < expires_at:
                return principal
            del self._known[digest]
        try:
            claims, key = signed_claims(token, key_set)
            principal, expires_at = principal_of(claims, now, self._rules, key_domain_id=key.domain_id)
        except InvalidTokenError as refusal:
            logger.debug("a token is refused: %s", refusal)
            # `from None`: the cause must not reach whatever prints the error.
            raise Unauthenticated from None
        self._known[digest] = principal, expires_at
        return principal


def signed_claims(token: str, key_set: KeySet) -> tuple[Mapping[str, Any], VerificationKey]:
    """The claims of a compact JWS that one of the keys has signed for the domain the claims name, and that key.

    Raises:
        InvalidTokenError: it is no such token.
    """
    if len(token) > LONGEST_TOKEN:
        raise InvalidTokenError("too long")
    try:
        signature = jws.extract_compact(token.encode("ascii"), registry=REGISTRY)
        header = signature.headers()
        claims = json.loads(signature.payload)
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidTokenError("not a compact JWS with claims") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise InvalidTokenError("header or claims are not an object")
    if "crit" in header or "b64" in header:
        raise InvalidTokenError("critical header members are not understood")
    algorithm, key_id, domain_id = header.get("alg"), header.get("kid"), claims.get("did")
    if algorithm not in ALGORITHMS:
        raise InvalidTokenError("the algorithm is not allowed")
    if not isinstance(domain_id, str) or not domain_id:
        raise InvalidTokenError("did is missing")
    if key_id is not None and not isinstance(key_id, str):
        raise InvalidTokenError("kid is not a string")
    # All of this is still the bearer's word. It only chooses among keys that may sign just that.
    candidates = key_set.candidates(
        key_id=key_id, domain_id=domain_id, algorithm=algorithm, system=claims.get("typ") == SYSTEM_TOKEN
    )
    for candidate in candidates[:MOST_CANDIDATES]:
        try:
            if jws.validate_compact(signature, candidate.key, registry=REGISTRY):
                return claims, candidate
        except (JoseError, ValueError, TypeError) as error:
            raise InvalidTokenError("the signature cannot be checked") from error
    raise InvalidTokenError("no key of this domain has signed it")
