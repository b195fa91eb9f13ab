import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, JWKRegistry

from event_service.errors import Unauthenticated
from event_service.identity.issuing import generate_key
from event_service.identity.principal import Role
from event_service.identity.tokens import TokenVerifier
from tests.unit.identity.signing import KEYS, NOW, RULES, Clock, Keys, claims, segment, sign, verifier

TEXT = str(Unauthenticated())


def refused(checker, token):
    with pytest.raises(Unauthenticated) as caught:
        checker.verify(token)
    assert str(caught.value) == TEXT
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("header", [{}, {"kid": None}, {"typ": None}, {"x5t": "AAAA"}, {"unknown": 1}])
def test_allowed_algorithms_accepted(algorithm, header):
    assert verifier().verify(sign(claims(), KEYS[algorithm], **header)).role is Role.DOMAIN_ADMIN


def hmac_token(secret: bytes, **header):
    signed = f"{segment({'alg': 'HS256', 'typ': 'JWT', **header})}.{segment(claims())}"
    return f"{signed}.{segment(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def public_forms(keys):
    for key in keys.values():
        public = JWKRegistry.import_key(dict(key)).public_key
        encoding, form = serialization.Encoding, serialization.PublicFormat
        yield public.public_bytes(encoding.PEM, form.SubjectPublicKeyInfo)
        yield public.public_bytes(encoding.PEM, form.SubjectPublicKeyInfo).strip()
        yield public.public_bytes(encoding.DER, form.SubjectPublicKeyInfo)
        yield json.dumps({name: value for name, value in key.items() if name != "d"}).encode()


PUBLIC_FORMS = list(public_forms(KEYS))


@pytest.mark.parametrize("key_id", [None, "key-RS256", "key-ES256", "key-EdDSA"])
def test_hs256_with_public_key_refused(key_id):
    header = {} if key_id is None else {"kid": key_id}
    for secret in PUBLIC_FORMS:
        refused(verifier(), hmac_token(secret, **header))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 5, ["ES256"]])
def test_alg_none_refused(algorithm):
    for signature in ("", segment(b"x" * 64)):
        refused(verifier(), f"{segment({'alg': algorithm})}.{segment(claims())}.{signature}")


@pytest.mark.parametrize("algorithm", ["ES384", "RS512", "PS256", "ES256K", "HS512", "Ed448", "es256"])
def test_other_algorithms_refused(algorithm):
    good = sign(claims()).split(".")
    refused(verifier(), f"{segment({'alg': algorithm, 'kid': 'key-ES256'})}.{good[1]}.{good[2]}")


def test_algorithm_of_other_key_type_refused():
    good = sign(claims()).split(".")
    refused(verifier(), f"{segment({'alg': 'RS256', 'kid': 'key-ES256'})}.{good[1]}.{good[2]}")


@pytest.mark.parametrize("key_id", ["unknown", "", "key-RS256", "../../etc/passwd", "key-ES256\x00"])
def test_unknown_kid_not_tried_against_other_keys(key_id):
    refused(verifier(), sign(claims(), KEYS["ES256"], kid=key_id))


def test_foreign_key_with_known_kid_refused():
    refused(verifier(), sign(claims(), {**generate_key("ES256"), "kid": "key-ES256"}))


def test_key_in_header_not_used():
    foreign = generate_key("ES256")
    public = ECKey.import_key(foreign).as_dict(private=False)
    refused(verifier(), sign(claims(), {**foreign, "kid": "key-ES256"}, jwk=public))
    refused(verifier(), sign(claims(), foreign, kid=None, jwk=public, jku="http://127.0.0.1/keys"))


@pytest.mark.parametrize(
    "extra", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"b64": True}, {"crit": ["b64"], "b64": False}]
)
def test_critical_header_members_refused(extra):
    header = {"alg": "ES256", "kid": "key-ES256", **extra}
    good = sign(claims()).split(".")
    refused(verifier(), f"{segment(header)}.{good[1]}.{good[2]}")


class TestDomains:
    one = generate_key("ES256", domain_id="domain-1")
    two = generate_key("ES256", domain_id="domain-2")
    root = generate_key("EdDSA", domain_id="domain-root", system=True)

    @property
    def checker(self):
        return verifier(self.one, self.two, self.root)

    @pytest.mark.parametrize("key_id", [True, False])
    def test_domain_key_signs_for_own_domain(self, key_id):
        header = {} if key_id else {"kid": None}
        assert self.checker.verify(sign(claims(did="domain-1"), self.one, **header)).domain_id == "domain-1"
        assert self.checker.verify(sign(claims(did="domain-2"), self.two, **header)).domain_id == "domain-2"

    @pytest.mark.parametrize("key_id", [True, False])
    def test_domain_key_refused_for_other_domain(self, key_id):
        header = {} if key_id else {"kid": None}
        refused(self.checker, sign(claims(did="domain-2"), self.one, **header))
        refused(self.checker, sign(claims(did="domain-1"), self.two, **header))
        refused(self.checker, sign(claims(did="domain-3"), self.one, **header))
        refused(self.checker, sign(claims(did="domain-1"), self.root, **header))

    @pytest.mark.parametrize("key_id", [True, False])
    def test_system_token_requires_system_key(self, key_id):
        header = {} if key_id else {"kid": None}
        body = claims(typ="SYSTEM_TOKEN", rol=None, own="SYSTEM")
        assert self.checker.verify(sign({**body, "did": "domain-root"}, self.root, **header)).role is Role.SYSTEM_TOKEN
        refused(self.checker, sign({**body, "did": "domain-1"}, self.one, **header))
        refused(verifier(*KEYS.values()), sign(body, KEYS["ES256"], **header))

    def test_common_keys_sign_for_any_domain(self):
        checker = verifier(self.one, KEYS["ES256"])
        assert checker.verify(sign(claims(did="domain-9"), KEYS["ES256"], kid=None)).domain_id == "domain-9"
        assert checker.verify(sign(claims(did="domain-1"), KEYS["ES256"], kid=None)).domain_id == "domain-1"


class TestRemembered:
    def test_cached_until_expiry(self):
        clock = Clock()
        checker = verifier(clock=clock)
        token = sign(claims(exp=NOW + 10))
        clock.now = NOW + 9.9
        first = checker.verify(token)
        assert checker.verify(token) is first
        clock.now = NOW + 10
        refused(checker, token)
        refused(checker, token)

    def test_removed_key_invalidates_cached_tokens(self):
        keys = Keys(KEYS["ES256"])
        checker = TokenVerifier(keys, RULES, clock=Clock())
        token = sign(claims())
        checker.verify(token)
        keys.key_set = Keys(KEYS["EdDSA"]).key_set
        refused(checker, token)

    def test_cache_size_limited(self):
        checker = verifier(capacity=3)
        tokens = [sign(claims(jti=str(number))) for number in range(5)]
        for token in tokens:
            checker.verify(token)
        assert len(checker._known) == 3
        assert checker.verify(tokens[0])

    def test_refusals_not_cached(self):
        checker = verifier()
        refused(checker, "x")
        assert not checker._known

    def test_token_not_kept_in_memory(self):
        checker = verifier()
        token = sign(claims())
        checker.verify(token)
        assert token not in repr(checker._known)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        "\ud83d",
        "x" * 20_000,
        f"{segment({'alg': 'ES256'})}..",
        f"{segment(['alg'])}.{segment(claims())}.AAAA",
        f"{segment('alg')}.{segment(claims())}.AAAA",
        f"{segment(b'[' * 300)}.{segment(claims())}.AAAA",
        f"{segment({'alg': 'ES256'})}.{segment(b'[' * 9000)}.AAAA",
        f"{segment({'alg': 'ES256'})}.{segment([])}.AAAA",
        f"{segment({'alg': 'ES256'})}.{segment(b'{')}.AAAA",
        f"{segment({'alg': 'ES256', 'kid': 5})}.{segment(claims())}.AAAA",
        f"{segment({'alg': 'ES256'})}.{segment(claims(did=['domain-1']))}.AAAA",
        f"{segment({'alg': 'dir', 'enc': 'A256GCM'})}.a.b.c.d",
    ],
    ids=lambda token: ascii(token[:40]),
)
def test_malformed_tokens_refused(token):
    refused(verifier(), token)


def test_token_over_size_limit_refused_with_the_limit():
    checker = verifier()
    assert checker.verify(sign(claims(jti="x" * 41_000))).role is Role.DOMAIN_ADMIN  # 55 KB in base64
    with pytest.raises(Unauthenticated, match="longer than 57344 bytes"):
        checker.verify(sign(claims(jti="x" * 43_000)))


@pytest.mark.parametrize("body", ["[]", '"x"', "5", "null", "{", "[" * 3000])
def test_signature_over_non_claims_refused(body):
    refused(verifier(), sign(body))


def test_exp_nan_refused():
    refused(verifier(), sign('{"did": "domain-1", "rol": "DOMAIN_ADMIN", "exp": NaN}'))


def test_refusal_logged_without_token(caplog):
    caplog.set_level("DEBUG")
    token = sign(claims(exp=int(NOW) - 1))
    refused(verifier(), token)
    assert "expired" in caplog.text
    assert token.rsplit(".", 1)[1] not in caplog.text


MUTATED = {algorithm: sign(claims(), key) for algorithm, key in KEYS.items()}
CHECKER = verifier()
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(data=st.data())
def test_mutated_tokens_refused(data):
    """Changed, cut, swapped or padded anywhere: also the last digit of a part, where base64 has bits to spare."""
    token = MUTATED[data.draw(st.sampled_from(sorted(MUTATED)))]
    position = data.draw(st.integers(0, len(token) - 1))
    kind = data.draw(st.sampled_from(["replace", "insert", "delete", "swap", "last", "pad", "bit"]))
    if kind == "replace":
        mutated = token[:position] + data.draw(st.sampled_from(BASE64 + ".=+/ \n!")) + token[position + 1 :]
    elif kind == "insert":
        mutated = token[:position] + data.draw(st.sampled_from(BASE64 + ".=+/ \n!")) + token[position:]
    elif kind == "delete":
        mutated = token[:position] + token[position + data.draw(st.integers(1, 5)) :]
    elif kind == "swap":
        parts, others = token.split("."), MUTATED[data.draw(st.sampled_from(sorted(MUTATED)))].split(".")
        which = data.draw(st.integers(0, 2))
        mutated = ".".join([*parts[:which], others[which], *parts[which + 1 :]])
    elif kind == "last":
        parts = token.split(".")
        which = data.draw(st.integers(0, 2))
        parts[which] = parts[which][:-1] + data.draw(st.sampled_from(BASE64))
        mutated = ".".join(parts)
    elif kind == "pad":
        mutated = token + data.draw(st.sampled_from(["=", "==", " ", "\n", ".", "A", "\x00"]))
    else:
        parts = token.split(".")
        which = data.draw(st.integers(0, 2))
        raw = bytearray(base64.urlsafe_b64decode(parts[which] + "=="))
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        parts[which] = segment(bytes(raw))
        mutated = ".".join(parts)
    if mutated in MUTATED.values():
        return
    refused(CHECKER, mutated)


@given(token=st.text(max_size=200))
def test_random_text_refused(token):
    refused(CHECKER, token)
