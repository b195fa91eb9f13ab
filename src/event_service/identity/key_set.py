"""The public keys that verify tokens: a JSON Web Key Set with two additional members.

Source: RFC 7517; the Event API's rules ("Who may do what"): a key with `domain_id` signs for that domain only,
and only a key with `system: true` signs a SYSTEM_TOKEN. Upstream's own keys are one per domain and carry no `kid`.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

logger = logging.getLogger(__name__)

SigningKey = RSAKey | ECKey | OKPKey

SMALLEST_RSA_BITS = 2048

# The allow-list. Each key has exactly one algorithm, so that a token cannot choose how its key is used.
ALGORITHMS = ("RS256", "ES256", "EdDSA")


class KeySetError(ValueError):
    """The text is not a JSON Web Key Set, or a key cannot verify tokens; says which and why."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and its restrictions.

    Attributes:
        algorithm: the only one of `ALGORITHMS` for this key.
        key_id: `kid`, "" without.
        domain_id: the only domain whose tokens it may sign; "" for every domain.
        system: True if it may sign SYSTEM_TOKENs.
    """

    key: SigningKey
    algorithm: str
    key_id: str = ""
    domain_id: str = ""
    system: bool = False


class KeySet:
    """The keys, by id and by domain."""

    def __init__(self, keys: Iterable[VerificationKey]) -> None:
        self._by_key_id: dict[str, list[VerificationKey]] = {}
        self._by_domain: dict[str, list[VerificationKey]] = {}
        self._count = 0
        for key in keys:
            self._count += 1
            self._by_domain.setdefault(key.domain_id, []).append(key)
            if key.key_id:
                self._by_key_id.setdefault(key.key_id, []).append(key)

    def __len__(self) -> int:
        return self._count

    def candidates(self, *, key_id: str | None, domain_id: str, algorithm: str, system: bool) -> list[VerificationKey]:
        """Return the keys that may have signed a token with these unverified values, the most specific first.

        An unknown `key_id` yields no keys: such a token is never tried against others.
        """
        if key_id is not None:
            found = self._by_key_id.get(key_id, [])
        else:
            found = self._by_domain.get(domain_id, []) + self._by_domain.get("", [])
        return [
            key
            for key in found
            if key.algorithm == algorithm and key.domain_id in ("", domain_id) and (key.system or not system)
        ]


def parse_key_set(text: bytes) -> KeySet:
    """Parse a JWKS file (UTF-8 JSON, `{"keys": [...]}`) or a single JWK.

    A key that cannot verify tokens (another use, another type, a short RSA key) is skipped with a warning, as RFC 7517
    section 5 demands. A set without keys is valid, and refuses every token.

    Raises:
        KeySetError: the text is not JSON or not a key set, or all its keys are unusable.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KeySetError(f"not JSON: {error}") from error
    if isinstance(document, dict) and "keys" not in document and "kty" in document:
        document = {"keys": [document]}
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise KeySetError('not a JSON Web Key Set: {"keys": [...]} is expected')
    keys, faults = [], []
    for position, member in enumerate(document["keys"]):
        try:
            keys.append(verification_key(member))
        except KeySetError as error:
            faults.append(f"keys[{position}]: {error}")
    if faults and not keys:
        raise KeySetError("; ".join(faults))
    for fault in faults:
        logger.warning("skipping a key of the key set: %s", fault)
    return KeySet(keys)


def verification_key(member: Any) -> VerificationKey:
    """Parse one member of a key set. Of a private key only the public half is kept.

    Raises:
        KeySetError: it cannot verify tokens.
    """
    if not isinstance(member, Mapping):
        raise KeySetError("not an object")
    domain_id, system, key_id = member.get("domain_id", ""), member.get("system", False), member.get("kid", "")
    # A malformed restriction must not be ignored.
    if not isinstance(domain_id, str) or ("domain_id" in member and not domain_id):
        raise KeySetError("domain_id must be a non-empty string")
    if not isinstance(system, bool):
        raise KeySetError("system must be true or false")
    if not isinstance(key_id, str):
        raise KeySetError("kid must be a string")
    key = _import(member)
    return VerificationKey(key, _algorithm_of(key), key_id, domain_id, system)


def _import(member: Mapping[str, Any]) -> SigningKey:
    # joserfc accepts a shared secret, and a short key with a warning only.
    if member.get("kty") not in ("RSA", "EC", "OKP"):
        raise KeySetError(f"kty {member.get('kty')!r} cannot verify tokens; use RSA, EC or OKP")
    if member["kty"] == "RSA" and len(str(member.get("n"))) < SMALLEST_RSA_BITS // 6:
        raise KeySetError(f"an RSA key needs at least {SMALLEST_RSA_BITS} bits")
    try:
        key = JWKRegistry.import_key(dict(member))
        key.check_use("sig")
        if key.is_private:
            # Verification needs no more, and keys not in memory cannot leak.
            key = JWKRegistry.import_key({**key.as_dict(private=False), "key_ops": ["verify"]})
        key.check_key_op("verify")
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise KeySetError(str(error) or "not a usable key") from error
    assert isinstance(key, SigningKey)  # noqa: S101 - its kty is one of the three
    return key


def _algorithm_of(key: SigningKey) -> str:
    if isinstance(key, RSAKey):
        if key.public_key.key_size < SMALLEST_RSA_BITS:
            raise KeySetError(f"an RSA key needs at least {SMALLEST_RSA_BITS} bits")
        algorithm = "RS256"
    elif isinstance(key, ECKey) and key.curve_name == "P-256":
        algorithm = "ES256"
    elif isinstance(key, OKPKey) and key["crv"] == "Ed25519":
        algorithm = "EdDSA"
    else:
        raise KeySetError("only RSA, P-256 and Ed25519 keys can verify tokens")
    if key.alg not in (None, algorithm):
        raise KeySetError(f"alg {key.alg!r} is not allowed for this key; use {algorithm}")
    return algorithm
