import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, OKPKey

from event_service.identity.issuing import public_half
from event_service.identity.key_set import KeySetError, parse_key_set, verification_key
from tests.unit.identity.signing import KEYS, key_set

PUBLIC = public_half(KEYS["ES256"])


def text(*members):
    return json.dumps({"keys": list(members)}).encode()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_one_algorithm_per_key(algorithm):
    member = {name: value for name, value in public_half(KEYS[algorithm]).items() if name not in ("alg", "use", "kid")}
    key = verification_key(member)
    assert (key.algorithm, key.key_id, key.domain_id, key.system) == (algorithm, "", "", False)


def test_private_key_reduced_to_public_half():
    key = verification_key(KEYS["ES256"])
    assert not key.key.is_private
    assert "d" not in key.key.as_dict()


@pytest.mark.parametrize(
    "member",
    [
        "text",
        {},
        {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"},
        {"kty": "PQC", "x": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256"},
        {**PUBLIC, "use": "enc"},
        {**PUBLIC, "alg": "ES512"},
        {**PUBLIC, "alg": "HS256"},
        {**PUBLIC, "use": "sig", "key_ops": ["sign"]},
        {**PUBLIC, "kid": 5},
        {**PUBLIC, "domain_id": ""},
        {**PUBLIC, "domain_id": None},
        {**PUBLIC, "domain_id": ["domain-1"]},
        {**PUBLIC, "system": "true"},
        {**PUBLIC, "system": 1},
        ECKey.generate_key("P-384").as_dict(private=False),
        OKPKey.generate_key("X25519").as_dict(private=False),
    ],
)
def test_unusable_key_refused(member):
    with pytest.raises(KeySetError):
        verification_key(member)


def test_short_rsa_key_refused():
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    member = {"kty": "RSA", "n": _base64(numbers.n), "e": _base64(numbers.e)}
    with pytest.raises(KeySetError, match="2048"):
        verification_key(member)


def _base64(number):
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'"keys"', b'{"keys": {}}', b'{"keys": 1}', b"\xff\xfe", b"[" * 100_000, b'{"keys": ["x"]}'],
)
def test_malformed_key_set_refused(content):
    with pytest.raises(KeySetError):
        parse_key_set(content)


def test_unusable_keys_skipped(caplog):
    assert len(parse_key_set(text(PUBLIC, {"kty": "oct", "k": "AAAA"}))) == 1
    assert "keys[1]" in caplog.text


def test_single_jwk_accepted():
    assert len(parse_key_set(json.dumps(PUBLIC).encode())) == 1


def test_empty_key_set_valid():
    assert len(parse_key_set(b'{"keys": []}')) == 0


def test_candidates():
    one = {**KEYS["ES256"], "kid": "one", "domain_id": "domain-1"}
    two = {**KEYS["ES256"], "kid": "two", "domain_id": "domain-2"}
    every = {**KEYS["ES256"], "kid": "every"}
    system = {**KEYS["EdDSA"], "kid": "system", "system": True}
    keys = key_set(one, two, every, system)

    def found(key_id=None, domain_id="domain-1", algorithm="ES256", system=False):
        return [
            key.key_id
            for key in keys.candidates(key_id=key_id, domain_id=domain_id, algorithm=algorithm, system=system)
        ]

    assert found() == ["one", "every"]
    assert found(domain_id="domain-3") == ["every"]
    assert found("one") == ["one"]
    assert found("two") == []
    assert found("two", "domain-2") == ["two"]
    assert found("unknown") == []
    assert found("") == []
    assert found("one", algorithm="RS256") == []
    assert found(system=True) == []
    assert found("system", algorithm="EdDSA", system=True) == ["system"]
    assert found("system", algorithm="EdDSA") == ["system"]
