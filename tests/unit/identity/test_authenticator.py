import json

import pytest

from event_service.errors import Unauthenticated
from event_service.identity.authenticator import NoAuthentication, TokenAuthentication, make_authenticator
from event_service.identity.authorization import scope_of
from event_service.identity.issuing import generate_key, public_half
from event_service.identity.key_set import KeySetError
from event_service.identity.principal import Role
from event_service.model.scope import Scope
from event_service.settings import Settings
from tests.unit.identity.signing import KEYS, Clock, claims, sign, verifier

SYSTEM = generate_key("ES256", key_id="system", system=True)


@pytest.fixture
def authenticator():
    return TokenAuthentication(verifier(SYSTEM, *KEYS.values()))


def test_token_metadata_key(authenticator):
    assert authenticator.authenticate({"token": sign(claims())}).domain_id == "domain-1"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_a_bearer_header(authenticator, scheme):
    assert authenticator.authenticate({"authorization": f"{scheme} {sign(claims())}"}).domain_id == "domain-1"


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"token": ""},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"token": "NO_TOKEN"},
        {"x_domain_id": "domain-1"},
    ],
    ids=str,
)
def test_missing_token_unauthenticated(authenticator, metadata):
    with pytest.raises(Unauthenticated):
        authenticator.authenticate(metadata)


def test_invalid_token_not_replaced_by_authorization(authenticator):
    with pytest.raises(Unauthenticated):
        authenticator.authenticate({"token": "bad", "authorization": f"Bearer {sign(claims())}"})


def test_system_token_acts_for_domain_in_metadata(authenticator):
    token = sign(claims(typ="SYSTEM_TOKEN", rol=None, did="domain-root"), SYSTEM)
    first = authenticator.authenticate({"token": token, "x_domain_id": "domain-7"})
    assert scope_of(first) == Scope("domain-7")
    second = authenticator.authenticate({"token": token, "x_domain_id": "domain-8", "x_workspace_id": "workspace-8"})
    assert scope_of(second) == Scope("domain-8", "workspace-8")
    assert authenticator.authenticate({"token": token}).domain_id == ""


def test_system_token_of_domain_key_refused_for_other_domain():
    key = generate_key("ES256", key_id="system", domain_id="domain-1", system=True)
    authenticator = TokenAuthentication(verifier(key))
    token = sign(claims(typ="SYSTEM_TOKEN", rol=None), key)
    assert scope_of(authenticator.authenticate({"token": token, "x_domain_id": "domain-1"})) == Scope("domain-1")
    for _ in range(2):  # the second time of the verifier's memory
        with pytest.raises(Unauthenticated):
            authenticator.authenticate({"token": token, "x_domain_id": "domain-2"})
    # Its own is not taken for granted: the metadata is mandatory.
    assert authenticator.authenticate({"token": token}).domain_id == ""


def test_x_domain_id_ignored_for_other_roles(authenticator):
    metadata = {"token": sign(claims()), "x_domain_id": "domain-7", "x_workspace_id": "workspace-7"}
    assert scope_of(authenticator.authenticate(metadata)) == Scope("domain-1")


def test_no_authentication_returns_configured_workspace():
    authenticator = make_authenticator(Settings(auth="none", default_domain_id="d", default_workspace_id="w"))
    assert isinstance(authenticator, NoAuthentication)
    principal = authenticator.authenticate({"token": "anything", "x_domain_id": "other"})
    assert principal.role is Role.WORKSPACE_OWNER
    assert scope_of(principal, "Webhook", "write", "any-project") == Scope("d", "w")


def test_jwt_reads_the_key_file(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [public_half(KEYS["ES256"])]}))
    authenticator = make_authenticator(Settings(auth="jwt", jwks_file=path), clock=Clock())
    assert authenticator.authenticate({"token": sign(claims())}).role is Role.DOMAIN_ADMIN


@pytest.mark.parametrize("name", [None, "missing.json"])
def test_jwt_without_key_file_fails_start(tmp_path, name):
    with pytest.raises(KeySetError):
        make_authenticator(Settings(auth="jwt", jwks_file=name and tmp_path / name))


def test_configured_audience_passed_to_rules(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [public_half(KEYS["ES256"])]}))
    settings = Settings(auth="jwt", jwks_file=path, token_audience="events")
    authenticator = make_authenticator(settings, clock=Clock())
    with pytest.raises(Unauthenticated):
        authenticator.authenticate({"token": sign(claims(aud="user-1"))})
    authenticator.authenticate({"token": sign(claims(aud="events"))})
