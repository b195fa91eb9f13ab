"""Invalid tokens are refused with one code and one text.

`make chaos` tries more mutated ones (EVENT_SERVICE_TEST_ROUNDS times 1000).
"""

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import JWKRegistry

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.identity.issuing import generate_key, public_half
from tests.chaos.scale import scaled
from tests.e2e.foreign import ForeignClient, Refused
from tests.e2e.trust.conftest import Door, Trust
from tests.e2e.trust.realm import AUDIENCE, Realm
from tests.e2e.trust.waiting import within_a_second
from tests.unit.identity.signing import segment, sign

pytestmark = pytest.mark.xdist_group("trust")

REFUSAL = ("UNAUTHENTICATED", "ERROR_AUTHENTICATE_FAILURE: The token is missing, invalid or expired.")
LIST = "/spaceone.api.monitoring.v1.Event/list"
MUTATIONS = scaled(2000, 50_000)
IN_FLIGHT = 64
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# A key that is in no key set.
UNKNOWN_KEY = generate_key("ES256", key_id="unknown", system=True)


def hs256(realm: Realm, secret: bytes) -> str:
    """Return a token signed with the public key as a shared secret."""
    signed = f"{segment({'alg': 'HS256', 'typ': 'JWT', 'kid': 'any'})}.{segment(realm.claims('DOMAIN_ADMIN'))}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def public_pem(key: dict[str, Any]) -> bytes:
    found = JWKRegistry.import_key(dict(key)).public_key
    return bytes(found.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def borrowed(realm: Realm, key: str, **changes: Any) -> str:
    """A token of a domain that the key does not sign for. `issue_token` would refuse to make it."""
    return sign(realm.claims("DOMAIN_ADMIN", **changes), realm.keys[key])


WRONG: dict[str, Callable[[Realm], str]] = {
    "nothing": lambda realm: "",
    "no token": lambda realm: "x",
    "expired": lambda realm: realm.token("DOMAIN_ADMIN", exp=int(time.time()) - 1),
    "expired long ago": lambda realm: realm.token("DOMAIN_ADMIN", iat=1, exp=2),
    "never expires": lambda realm: realm.token("DOMAIN_ADMIN", exp=None),
    "not yet valid": lambda realm: realm.token("DOMAIN_ADMIN", nbf=int(time.time()) + 60),
    "wrong audience": lambda realm: realm.token("DOMAIN_ADMIN", aud="another-service"),
    "no audience": lambda realm: realm.token("DOMAIN_ADMIN", aud=None),
    "audiences without ours": lambda realm: realm.token("DOMAIN_ADMIN", aud=["a", "b"]),
    "alg none": lambda realm: f"{segment({'alg': 'none'})}.{segment(realm.claims('DOMAIN_ADMIN'))}.",
    "HS256 with the public key": lambda realm: hs256(realm, public_pem(realm.keys["any"])),
    "HS256 with the public JWK": lambda realm: hs256(realm, json.dumps(public_half(realm.keys["any"])).encode()),
    "unknown kid": lambda realm: sign(realm.claims("DOMAIN_ADMIN"), realm.keys["any"], kid="unknown"),
    "an unknown key": lambda realm: sign(realm.claims("DOMAIN_ADMIN"), UNKNOWN_KEY),
    "an unknown key under a known kid": lambda realm: sign(realm.claims("DOMAIN_ADMIN"), UNKNOWN_KEY, kid="domain-1"),
    "an unknown key without kid": lambda realm: sign(realm.claims("DOMAIN_ADMIN"), UNKNOWN_KEY, kid=None),
    "another domain's key": lambda realm: borrowed(realm, "domain-2"),
    "another domain's key without kid": lambda realm: sign(
        realm.claims("DOMAIN_ADMIN"), realm.keys["domain-2"], kid=None
    ),
    "our key for another domain": lambda realm: borrowed(realm, "domain-1", did="domain-2"),
    "the root domain's key for another": lambda realm: borrowed(realm, "domain-root"),
    "a system token by a domain's key": lambda realm: sign(
        realm.claims("SYSTEM_TOKEN", did="domain-1"), realm.keys["domain-1"]
    ),
    "a system token by a common key": lambda realm: sign(realm.claims("SYSTEM_TOKEN"), realm.keys["any"]),
    "a refresh token": lambda realm: realm.token("DOMAIN_ADMIN", typ="REFRESH_TOKEN"),
    "injected parameters": lambda realm: realm.token("DOMAIN_ADMIN", injected_params={"domain_id": "domain-2"}),
    "an app without permissions": lambda realm: realm.token("DOMAIN_ADMIN", own="APP"),
    "no domain": lambda realm: realm.token("DOMAIN_ADMIN", did=None),
    "an owner of no workspace": lambda realm: realm.token("WORKSPACE_OWNER", wid=None),
    "a token of another version": lambda realm: realm.token("DOMAIN_ADMIN", ver="1.0"),
    "longer than metadata should be": lambda realm: realm.token("DOMAIN_ADMIN", jti="x" * 5_000)[:-1],
}


def refusal(door: Door, **metadata: str) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        door.ask("Event", "list", {}, **metadata)
    return caught.value.code, caught.value.details


@pytest.mark.parametrize("what", WRONG)
def test_invalid_token_is_refused(door: Door, trust: Trust, what: str) -> None:
    assert refusal(door, token=WRONG[what](trust.realm)) == REFUSAL


def test_a_bearer_is_the_same_as_a_token(door: Door, trust: Trust) -> None:
    assert door.code("Event", "list", {}, authorization=f"Bearer {trust.realm.token('DOMAIN_ADMIN')}") == "OK"
    for scheme in ("Bearer", "Basic"):
        assert refusal(door, authorization=f"{scheme} {WRONG['expired'](trust.realm)}") == REFUSAL


@pytest.mark.parametrize(
    ("role", "key", "changes"),
    [
        ("DOMAIN_ADMIN", "any", {}),
        ("DOMAIN_ADMIN", "any", {"did": "domain-3"}),
        ("DOMAIN_ADMIN", "domain-1", {}),
        ("DOMAIN_ADMIN", "domain-2", {"did": "domain-2"}),
        ("DOMAIN_ADMIN", "any", {"aud": ["other", AUDIENCE]}),
        ("DOMAIN_ADMIN", "any", {"nbf": 1}),
        ("SYSTEM_TOKEN", "system", {}),
        ("SYSTEM_TOKEN", "system", {"exp": None}),
    ],
    ids=str,
)
def test_valid_token_is_accepted(door: Door, trust: Trust, role: str, key: str, changes: dict[str, Any]) -> None:
    caller = {**trust.realm.metadata(role), "token": trust.realm.token(role, key, **changes)}
    assert door.code("Event", "list", {}, **caller) == "OK"


@pytest.mark.parametrize("projects", [300, 1000], ids=["9 KB", "31 KB"])
def test_big_token_is_always_accepted(door: Door, trust: Trust, projects: int) -> None:
    """By default gRPC refuses some of the calls with more than 8 KB of metadata."""
    token = trust.realm.token("WORKSPACE_MEMBER", projects=[f"project-{number:012x}" for number in range(projects)])
    assert {door.code("Event", "list", {}, token=token) for _ in range(20)} == {"OK"}


def test_too_big_token_is_refused_with_the_limit(door: Door, trust: Trust) -> None:
    code, details = refusal(door, token=trust.realm.token("DOMAIN_ADMIN", jti="x" * 44_000))
    assert code == "UNAUTHENTICATED"
    assert "longer than 57344 bytes" in details


def test_a_system_token_by_a_domains_key_reads_no_other_domain(door: Door, trust: Trust) -> None:
    token = trust.realm.token("SYSTEM_TOKEN", "domain-root")
    assert door.code("Event", "list", {}, token=token, x_domain_id="domain-root") == "OK"
    assert refusal(door, token=token, x_domain_id="domain-1") == REFUSAL


@pytest.fixture
def realm(trust: Trust, plain_client: ForeignClient) -> Iterator[Realm]:
    """Yield keys that the test may publish anew; afterwards they are as they were."""
    yield trust.realm
    trust.realm.publish(*trust.realm.keys.values())
    door, token = Door(plain_client), trust.realm.token("DOMAIN_ADMIN")
    within_a_second(lambda: door.code("Event", "list", {}, token=token) == "OK")


def test_keys_come_and_go_without_a_restart(
    realm: Realm, plain_client: ForeignClient, mutual_client: ForeignClient, http_client: httpx.Client
) -> None:
    doors = [Door(plain_client), Door(mutual_client), Door(http_client)]
    new = generate_key("EdDSA", key_id="new")
    tokens = [realm.token("DOMAIN_ADMIN"), sign(realm.claims("DOMAIN_ADMIN"), new)]

    def codes() -> set[tuple[str, ...]]:
        """Return the codes of the old and the new token, for every transport."""
        return {tuple(door.code("Event", "list", {}, token=token) for token in tokens) for door in doors}

    assert codes() == {("OK", "UNAUTHENTICATED")}
    # Both while tokens change over, then the new one alone: a token that was verified before ends with its key.
    realm.publish(realm.keys["any"], new)
    within_a_second(lambda: codes() == {("OK", "OK")})
    realm.publish(new)
    within_a_second(lambda: codes() == {("UNAUTHENTICATED", "OK")})
    # What is no key set changes nothing.
    realm.jwks.write_text('{"keys": [')
    time.sleep(0.6)
    assert codes() == {("UNAUTHENTICATED", "OK")}


def mutations(realm: Realm) -> Iterator[str]:
    """Tokens that were good, changed somewhere: digits replaced, added or taken away, parts exchanged, padded."""
    chance = random.Random(9)
    good = [realm.token("DOMAIN_ADMIN", key) for key in ("any", "domain-1")]
    good.append(realm.token("DOMAIN_ADMIN", "domain-2", did="domain-2"))
    good.append(realm.token("SYSTEM_TOKEN"))
    while True:
        token = chance.choice(good)
        at = chance.randrange(len(token))
        parts = token.split(".")
        part = chance.randrange(3)
        match chance.randrange(6):
            case 0:
                token = token[:at] + chance.choice(BASE64 + ".=") + token[at + 1 :]
            case 1:
                token = token[:at] + chance.choice(BASE64 + ".=") + token[at:]
            case 2:
                token = token[:at] + token[at + chance.randrange(1, 6) :]
            case 3:
                parts[part] = chance.choice(good).split(".")[part]
                token = ".".join(parts)
            case 4:  # the last digit, where base64 has bits to spare
                parts[part] = parts[part][:-1] + chance.choice(BASE64)
                token = ".".join(parts)
            case _:
                token += chance.choice(["=", "==", ".", "A", ".A"])
        if token not in good:
            yield token


@pytest.mark.chaos
async def test_mutated_tokens_are_refused(trust: Trust) -> None:
    tokens = mutations(trust.realm)
    request = event_pb2.EventQuery(query={"count_only": True}).SerializeToString()
    got: dict[tuple[str, str], int] = {}
    async with grpc.aio.insecure_channel(trust.plain.grpc_address) as channel:
        ask = channel.unary_unary(LIST)

        async def knock(times: int) -> None:
            for _ in range(times):
                call = ask(request, metadata=(("token", next(tokens)), ("x_domain_id", "domain-1")), timeout=30)
                answer = (await call.code()).name, await call.details()
                got[answer] = got.get(answer, 0) + 1

        await asyncio.gather(*(knock(MUTATIONS // IN_FLIGHT) for _ in range(IN_FLIGHT)))
    assert got == {REFUSAL: MUTATIONS // IN_FLIGHT * IN_FLIGHT}
