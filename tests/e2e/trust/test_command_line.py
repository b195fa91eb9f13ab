"""Without an identity service: keys and tokens by the command line, and the command line with them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.trust.command_line import CommandLine
from tests.e2e.trust.conftest import Trust
from tests.e2e.trust.waiting import within_a_second

pytestmark = pytest.mark.xdist_group("trust")


@pytest.fixture
def owner(trust: Trust, line: CommandLine) -> CommandLine:
    """Return the command line of the operator: keygen adds to the key set of the running services."""
    line.set(EVENT_SERVICE_SERVER=trust.plain.grpc_address, EVENT_SERVICE_JWKS_FILE=str(trust.realm.jwks))
    return line


@pytest.fixture
def key(owner: CommandLine, trust: Trust) -> Iterator[Any]:
    """A key made by the command line for domain-1, known to the running services."""
    before = trust.realm.jwks.read_bytes()
    yield owner.json("token", "keygen", "--domain-id", "domain-1", "--algorithm", "EdDSA")
    trust.realm.jwks.write_bytes(before)


def test_from_no_keys_to_a_webhook(owner: CommandLine, key: dict[str, Any], trust: Trust) -> None:
    assert Path("key.json").stat().st_mode & 0o777 == 0o600
    assert key["kid"] in trust.realm.jwks.read_text()
    who = ("--role", "workspace_owner", "--domain-id", "domain-1", "--workspace-id", "workspace-cli")
    token = owner.out("token", "issue", *who, "--expires", "30d").strip()
    listing = ("webhook", "list", "--json", "--token", token)
    within_a_second(lambda: owner.run(*listing)[0] == 0)
    assert owner.json(*listing[:2], "--token", token)["total_count"] == 0

    made = owner.json("webhook", "create", "--name", "cli", "--project-id", "project-1", "--token", token)
    sent = ("--webhook-id", made["webhook_id"], "--access-key", made["access_key"])
    Path("payload.json").write_text('{"event_key": "k", "title": "from the command line"}')
    assert owner.json("event", "send", "payload.json", *sent)["event_count"] == 1  # needs no token
    (row,) = owner.json("event", "list", "--token", token)["results"]
    assert (row["title"], row["domain_id"], row["workspace_id"]) == (
        "from the command line",
        "domain-1",
        "workspace-cli",
    )
    rotated = owner.json("webhook", "rotate-key", made["webhook_id"], "--overlap", "60", "--token", token)
    assert rotated["access_key"] not in (made["access_key"], "")
    for command in ("get", "disable", "enable", "verify-plugin", "update"):
        more = ("--name", "renamed") if command == "update" else ()
        assert owner.json("webhook", command, made["webhook_id"], *more, "--token", token)
    assert owner.json("webhook", "stat", "--token", token)["results"] == [{"value": "ENABLED", "count": 1}]
    assert owner.json("webhook", "delete", made["webhook_id"], "--token", token)


def test_each_role_may_what_its_row_says(owner: CommandLine, key: dict[str, Any]) -> None:
    create = ("webhook", "create", "--name", "n", "--project-id", "project-2", "--token")
    for role, more, may_read, may_create in (
        ("DOMAIN_ADMIN", (), True, False),
        ("WORKSPACE_OWNER", ("--workspace-id", "w"), True, True),
        ("WORKSPACE_MEMBER", ("--workspace-id", "w", "--project-id", "project-2"), True, True),
        ("WORKSPACE_MEMBER", ("--workspace-id", "w", "--project-id", "project-1"), True, False),
        ("WORKSPACE_MEMBER", ("--workspace-id", "w"), True, False),
        ("WORKSPACE_OWNER", ("--workspace-id", "w", "--permission", "monitoring:Webhook.write"), False, True),
        ("USER", (), False, False),
    ):
        token = owner.out("token", "issue", "--role", role, "--domain-id", "domain-1", *more).strip()
        within_a_second(lambda token=token: "AUTHENTICATE" not in owner.run("event", "list", "--token", token)[2])
        for command, may in ((("event", "list", "--token"), may_read), (create, may_create)):
            status, _, err = owner.run(*command, token)
            assert (status == 0) is may, (role, more, command, err)
            assert may or "Permission denied. [ERROR_PERMISSION_DENIED]" in err


def test_a_token_that_would_be_refused_is_not_made(owner: CommandLine, key: dict[str, Any]) -> None:
    issue = ("token", "issue", "--role")
    assert "signs for domain-1 only" in owner.refusal(*issue, "DOMAIN_ADMIN", "--domain-id", "domain-2")
    assert "--system" in owner.refusal(*issue, "SYSTEM_TOKEN", "--domain-id", "domain-1")
    assert "workspace" in owner.refusal(*issue, "WORKSPACE_OWNER", "--domain-id", "domain-1")
    assert "--role EMPEROR does not exist" in owner.refusal(*issue, "EMPEROR", "--domain-id", "domain-1")
    assert "is not a duration" in owner.refusal(*issue, "USER", "--domain-id", "domain-1", "--expires", "soon")
    assert "exists" in owner.refusal("token", "keygen")


def test_without_a_token_it_says_how_to_get_one(owner: CommandLine) -> None:
    for token in ((), ("--token", "x"), ("--token", "eyJhbGciOiJub25lIn0.e30.")):
        said = owner.refusal("event", "list", *token)
        assert "The token is missing, invalid or expired. [ERROR_AUTHENTICATE_FAILURE]" in said
        assert "event-service token issue" in said


def test_a_system_token_of_a_system_key(owner: CommandLine, trust: Trust) -> None:
    Path("system.json").write_text(json.dumps(trust.realm.keys["system"]))
    token = owner.out(
        "token", "issue", "--role", "SYSTEM_TOKEN", "--domain-id", "domain-root", "--private-key", "system.json"
    ).strip()
    assert "x_domain_id" in owner.refusal("event", "list", "--token", token)
    found = owner.json("event", "stat", "--by", "type", "--domain-id", "domain-missing", "--token", token)
    assert found["results"] == []


def test_over_mutual_tls(trust: Trust, line: CommandLine) -> None:
    authority, certificate, private = trust.certificates.of_client("terminal")
    line.set(EVENT_SERVICE_SERVER=trust.mutual.grpc_address, EVENT_SERVICE_TOKEN=trust.realm.token("DOMAIN_ADMIN"))
    tls = ("--ca-file", authority, "--cert-file", certificate, "--key-file", private)
    assert "total_count" in line.json("event", "list", "--limit", "1", *tls)
    assert "SERVING" in line.out("health", *tls)
    assert "closes the connection" in line.refusal("event", "list", "--ca-file", authority)
    assert "closes the connection" in line.refusal("event", "list")


@pytest.mark.parametrize("name", ["EVENT_SERVICE_GRPC_ADDRESS", "EVENT_SERVICE_HTTP_ADDRESS"])
@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "events.example:0"])
def test_serve_listens_beyond_loopback_only_with_authentication(line: CommandLine, name: str, address: str) -> None:
    """It is refused before anything is made."""
    line.set(**{name: address, "EVENT_SERVICE_DATA_DIR": "data"})
    status, _, err = line.run("serve")
    assert (status, "authentication is off" in err) == (2, True)
    assert not Path("data").exists()
