"""Verification of JSON Web Tokens: signature and claims, with a cache of valid ones until they expire.

Source: RFC 7515, 7519, 8725; the Event API's rules ("Who may do what").
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from cachetools import FIFOCache
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jws import JWSRegistry

from event_service.errors import Unauthenticated
from event_service.identity.claims import SYSTEM_TOKEN, InvalidTokenError, Rules, principal_of
from event_service.identity.key_file import KeyFile
from event_service.identity.key_set import ALGORITHMS, KeySet, VerificationKey
from event_service.identity.principal import Principal

logger = logging.getLogger(__name__)

# A token of 1,000 projects has 31 KB. Both transports accept 64 KiB of headers, which leaves 8 KiB for the others.
LONGEST_TOKEN = 56 * 1024

# A token without `kid` is tried against the keys of its domain; this bounds the cost of one token.
MOST_CANDIDATES = 8

CACHED_TOKENS = 4096


class AllowedAlgorithms(JWSRegistry):
    """The allow-list. It includes EdDSA, which joserfc deprecates with a warning since RFC 9864 renamed it."""

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError(f"{name!r} is not allowed")
        return self.algorithms[name]


# Unknown header members are ignored (RFC 7515 section 4); unknown *critical* ones are refused below.
REGISTRY = AllowedAlgorithms(strict_check_header=False)


class TokenVerifier:
    """Verifies tokens."""

    def __init__(
        self,
        keys: KeyFile,
        rules: Rules,
        *,
        clock: Callable[[], float] = time.time,
        capacity: int = CACHED_TOKENS,
    ) -> None:
        """Create a verifier.

        Args:
            clock: Unix seconds.
            capacity: number of cached tokens; the oldest are evicted first.
        """
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._key_set = keys.current()
        self._known: FIFOCache[bytes, tuple[Principal, float]] = FIFOCache(capacity)

    def verify(self, token: str) -> Principal:
        """Return the bearer of `token`. A SYSTEM_TOKEN's domain is the only one it may act for, "" for any.

        Raises:
            Unauthenticated: the token is too long, or invalid; one text for every reason of the latter.
        """
        if len(token) > LONGEST_TOKEN:
            raise Unauthenticated(f"The token is longer than {LONGEST_TOKEN} bytes; list fewer projects in it.")
        key_set = self._keys.current()
        if key_set is not self._key_set:
            # A removed key invalidates the tokens it signed.
            self._key_set = key_set
            self._known.clear()
        now = self._clock()
        # Keyed by digest, so that tokens do not stay in memory.
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
            logger.debug("refused a token (%s)", refusal)
            # `from None`: the reason must not reach the caller in a traceback.
            raise Unauthenticated from None
        self._known[digest] = principal, expires_at
        return principal


def signed_claims(token: str, key_set: KeySet) -> tuple[Mapping[str, Any], VerificationKey]:
    """Return the claims of a compact JWS and the key that signed it for the domain in the claims.

    Raises:
        InvalidTokenError: it is not a compact JWS, or no allowed key has signed it.
    """
    try:
        signature = jws.extract_compact(token.encode("ascii"), registry=REGISTRY)
        header = signature.headers()
        claims = json.loads(signature.payload)
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidTokenError("not a compact JWS with claims") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise InvalidTokenError("header or claims are not an object")
    if "crit" in header or "b64" in header:
        raise InvalidTokenError("critical header members are not supported")
    algorithm, key_id, domain_id = header.get("alg"), header.get("kid"), claims.get("did")
    if algorithm not in ALGORITHMS:
        raise InvalidTokenError("the algorithm is not allowed")
    if not isinstance(domain_id, str) or not domain_id:
        raise InvalidTokenError("did is missing")
    if key_id is not None and not isinstance(key_id, str):
        raise InvalidTokenError("kid is not a string")
    # These values are unverified, and only select among the keys that may sign such a token.
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
