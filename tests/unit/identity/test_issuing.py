import json
import stat

import pytest

from event_service.errors import AlreadyExists, InvalidArgument
from event_service.identity.authenticator import TokenAuthentication
from event_service.identity.authorization import scope_of
from event_service.identity.claims import Rules
from event_service.identity.issuing import generate_key, issue_token, public_half, read_private_key, write_key_pair
from event_service.identity.key_file import KeyFile
from event_service.identity.key_set import verification_key
from event_service.identity.principal import Role
from event_service.identity.tokens import TokenVerifier
from event_service.model.scope import Scope
from tests.unit.identity.signing import NOW, Clock


@pytest.fixture
def files(tmp_path):
    return tmp_path / "private.json", tmp_path / "jwks.json"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_issued_token_accepted(files, algorithm):
    private, jwks = files
    write_key_pair(generate_key(algorithm), private, jwks)
    key = read_private_key(private)
    token = issue_token(
        key,
        Role.WORKSPACE_MEMBER,
        domain_id="domain-1",
        workspace_id="workspace-1",
        projects=["project-1"],
        permissions=["monitoring:Event"],
        expires_in=60,
        clock=Clock(),
    )
    clock = Clock(NOW + 59)
    authenticator = TokenAuthentication(TokenVerifier(KeyFile(jwks), Rules(60), clock=clock))
    principal = authenticator.authenticate({"token": token})
    assert scope_of(principal) == Scope("domain-1", "workspace-1", ("project-1",))
    assert principal.permissions == ("monitoring:Event",)


@pytest.mark.parametrize("role", list(Role))
def test_token_for_every_role(files, role):
    private, jwks = files
    write_key_pair(generate_key(system=True), private, jwks)
    token = issue_token(read_private_key(private), role, domain_id="d", workspace_id="w", expires_in=60, clock=Clock())
    principal = TokenVerifier(KeyFile(jwks), Rules(60), clock=Clock()).verify(token)
    assert principal.role is role


def test_private_file_mode_0600(files):
    private, jwks = files
    key = generate_key(domain_id="domain-1", system=True)
    write_key_pair(key, private, jwks)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    (published,) = json.loads(jwks.read_text())["keys"]
    assert published == {name: value for name, value in key.items() if name != "d"}
    assert (published["domain_id"], published["system"]) == ("domain-1", True)


def test_key_added_to_key_set(files, tmp_path):
    private, jwks = files
    write_key_pair(generate_key(key_id="one"), private, jwks)
    write_key_pair(generate_key("EdDSA", key_id="two"), tmp_path / "other.json", jwks)
    assert [key["kid"] for key in json.loads(jwks.read_text())["keys"]] == ["one", "two"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["jwks.json", "other.json", "private.json"]


def test_existing_files_and_keys_not_overwritten(files, tmp_path):
    private, jwks = files
    write_key_pair(generate_key(key_id="one"), private, jwks)
    before = private.read_text(), jwks.read_text()
    with pytest.raises(AlreadyExists):
        write_key_pair(generate_key(key_id="two"), private, jwks)
    with pytest.raises(AlreadyExists):
        write_key_pair(generate_key(key_id="one"), tmp_path / "other.json", jwks)
    assert (private.read_text(), jwks.read_text()) == before
    assert not (tmp_path / "other.json").exists()


def test_key_pair_written_atomically(tmp_path):
    with pytest.raises(OSError, match="missing"):
        write_key_pair(generate_key(), tmp_path / "private.json", tmp_path / "missing" / "jwks.json")
    assert not list(tmp_path.iterdir())


def test_broken_key_set_not_modified(files):
    private, jwks = files
    jwks.write_text("{")
    with pytest.raises(InvalidArgument, match=r"jwks\.json"):
        write_key_pair(generate_key(), private, jwks)
    assert jwks.read_text() == "{"
    assert not private.exists()


def test_single_jwk_becomes_key_set(files):
    private, jwks = files
    jwks.write_text(json.dumps(public_half(generate_key(key_id="single"))))
    write_key_pair(generate_key(key_id="new"), private, jwks)
    assert [key["kid"] for key in json.loads(jwks.read_text())["keys"]] == ["single", "new"]


@pytest.mark.parametrize("content", ["{", "[]", '{"keys": {}}', '{"keys": [{"kid": "x"}]}'])
def test_file_without_private_key_refused(tmp_path, content):
    path = tmp_path / "private.json"
    path.write_text(content)
    with pytest.raises(InvalidArgument, match=r"private\.json"):
        read_private_key(path)


def test_private_key_selected_by_id(tmp_path):
    path = tmp_path / "private.json"
    one, two = generate_key(key_id="one"), generate_key(key_id="two")
    path.write_text(json.dumps({"keys": [one, two]}))
    assert read_private_key(path) == two
    assert read_private_key(path, "one") == one
    with pytest.raises(InvalidArgument, match="three"):
        read_private_key(path, "three")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"domain_id": ""}, "domain_id"),
        ({"role": Role.WORKSPACE_OWNER}, "workspace_id"),
        ({"role": Role.WORKSPACE_MEMBER}, "workspace_id"),
        ({"expires_in": 0}, "expires"),
        ({"domain_id": "domain-2"}, "domain_id"),
        ({"role": Role.SYSTEM_TOKEN}, "role"),
    ],
)
def test_token_that_would_be_refused_not_issued(arguments, field):
    key = generate_key(domain_id="domain-1")
    call = {"role": Role.DOMAIN_ADMIN, "domain_id": "domain-1", "expires_in": 60, **arguments}
    with pytest.raises(InvalidArgument) as caught:
        issue_token(key, call.pop("role"), **call)
    assert caught.value.violations[0].field == field


def test_broken_key_refused():
    with pytest.raises(InvalidArgument, match="cannot sign"):
        issue_token({"kty": "EC", "d": "AA"}, Role.DOMAIN_ADMIN, domain_id="d", expires_in=1)


def test_generated_keys_differ():
    assert verification_key(generate_key()).key_id != verification_key(generate_key()).key_id
