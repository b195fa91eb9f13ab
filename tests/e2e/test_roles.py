"""Every rpc of both services under every role, called with SpaceONE's stubs: who may do what, and who sees what.

Source: the Event API's rules, "Who may do what".
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from event_service.identity.issuing import generate_key, issue_token, write_key_pair
from event_service.identity.principal import Role
from tests.e2e.foreign import ForeignClient, Refused
from tests.e2e.service import Service

READS = {("Event", name) for name in ("get", "list", "stat")} | {("Webhook", name) for name in ("get", "list", "stat")}
WRITES = {
    ("Webhook", name) for name in ("create", "update", "update_plugin", "verify_plugin", "enable", "disable", "delete")
}
MAY = {
    "SYSTEM_TOKEN": READS | WRITES,
    "DOMAIN_ADMIN": READS,
    "WORKSPACE_OWNER": READS | WRITES,
    "WORKSPACE_MEMBER": READS | WRITES,
    "USER": set(),
}
ABSENT = {"webhook_id": "webhook-000000000000"}
REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("Event", "get"): {"event_id": "event-000000000000"},
    ("Event", "list"): {},
    ("Event", "stat"): {"query": {"distinct": "severity"}},
    ("Webhook", "create"): {"name": "n", "project_id": "project-1", "plugin_info": {"plugin_id": "native"}},
    ("Webhook", "list"): {},
    ("Webhook", "stat"): {"query": {"distinct": "state"}},
    **{
        ("Webhook", name): ABSENT
        for name in ("get", "update", "update_plugin", "verify_plugin", "enable", "disable", "delete")
    },
}
DENIED = "ERROR_PERMISSION_DENIED: Permission denied."


@dataclass(frozen=True)
class Door:
    """A service with authentication, a client of it, and keys to sign with.

    Attributes:
        keys: by name: `any` signs for every domain and for the system, `domain-1` and `domain-2` for theirs only,
            `stranger` is not in the service's key set.
    """

    service: Service
    client: ForeignClient
    keys: dict[str, dict[str, Any]]

    def token(
        self, role: str, domain_id: str = "domain-1", *, key: str = "any", expires_in: int = 600, **more: Any
    ) -> str:
        claims: dict[str, Any] = {}
        if role.startswith("WORKSPACE"):
            claims["workspace_id"] = "workspace-1"
        if role == "WORKSPACE_MEMBER":
            claims["projects"] = ["project-1"]
        return issue_token(self.keys[key], Role(role), domain_id=domain_id, expires_in=expires_in, **(claims | more))

    def code(self, service: str, method: str, request: dict[str, Any], **metadata: str) -> str:
        """The code a call ends with; "OK" for an answer."""
        try:
            self.client.call(service, method, request, **metadata)
        except Refused as refused:
            return refused.code
        return "OK"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("roles")
    keys = {
        "any": generate_key(system=True),
        "domain-1": generate_key("RS256", domain_id="domain-1"),
        "domain-2": generate_key("EdDSA", domain_id="domain-2"),
    }
    for name, key in keys.items():
        write_key_pair(key, folder / f"{name}.json", folder / "jwks.json")
    keys["stranger"] = generate_key(system=True)
    settings = {"EVENT_SERVICE_AUTH": "jwt", "EVENT_SERVICE_JWKS_FILE": str(folder / "jwks.json")}
    with Service(folder / "service", settings) as service, ForeignClient(service.grpc_address) as client:
        yield Door(service, client, keys)


@pytest.mark.parametrize("role", MAY)
@pytest.mark.parametrize(("service", "method"), sorted(READS | WRITES))
def test_role(door: Door, role: str, service: str, method: str) -> None:
    scope = {"x_domain_id": "domain-1", "x_workspace_id": "workspace-1"} if role == "SYSTEM_TOKEN" else {}
    code = door.code(service, method, REQUESTS[service, method], token=door.token(role), **scope)
    if (service, method) in MAY[role]:
        assert code in ("OK", "NOT_FOUND")
    else:
        assert code == "PERMISSION_DENIED"


@pytest.mark.parametrize(("service", "method"), sorted(READS | WRITES))
def test_without_a_token_nothing_but_create(door: Door, service: str, method: str) -> None:
    assert door.code(service, method, REQUESTS[service, method]) == "UNAUTHENTICATED"


def test_the_refusal_names_nothing(door: Door) -> None:
    with pytest.raises(Refused) as caught:
        door.client.call("Event", "list", {}, token=door.token("USER"))
    assert caught.value.details == DENIED


@pytest.fixture
def made(door: Door, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A webhook of domain-1, workspace-1, project-1 with one event; as Webhook.create answered, and `event_id`."""
    owner = door.token("WORKSPACE_OWNER")
    wanted = {"name": request.node.name, "project_id": "project-1", "plugin_info": {"plugin_id": "native"}}
    webhook = door.client.call("Webhook", "create", wanted, token=owner).reply
    sent = {"webhook_id": webhook["webhook_id"], "access_key": webhook["access_key"], "data": {"event_key": "k"}}
    created = door.client.call("Event", "create", sent)
    return {**webhook, "event_id": created.trailers["event-id"][0]}


def test_event_create_needs_no_token(made: dict[str, Any]) -> None:
    assert made["event_id"]


@pytest.mark.parametrize(
    ("role", "domain_id", "claims", "scope", "sees"),
    [
        ("DOMAIN_ADMIN", "domain-1", {}, {}, True),
        ("DOMAIN_ADMIN", "domain-2", {}, {}, False),
        ("WORKSPACE_OWNER", "domain-1", {}, {}, True),
        ("WORKSPACE_OWNER", "domain-1", {"workspace_id": "workspace-2"}, {}, False),
        ("WORKSPACE_OWNER", "domain-2", {}, {}, False),
        ("WORKSPACE_MEMBER", "domain-1", {}, {}, True),
        ("WORKSPACE_MEMBER", "domain-1", {"projects": ["project-2"]}, {}, False),
        ("WORKSPACE_MEMBER", "domain-1", {"projects": []}, {}, False),
        ("SYSTEM_TOKEN", "system", {}, {"x_domain_id": "domain-1"}, True),
        ("SYSTEM_TOKEN", "system", {}, {"x_domain_id": "domain-1", "x_workspace_id": "workspace-1"}, True),
        ("SYSTEM_TOKEN", "system", {}, {"x_domain_id": "domain-1", "x_workspace_id": "workspace-2"}, False),
        ("SYSTEM_TOKEN", "system", {}, {"x_domain_id": "domain-2"}, False),
    ],
)
def test_scope(
    door: Door,
    made: dict[str, Any],
    role: str,
    domain_id: str,
    claims: dict[str, Any],
    scope: dict[str, str],
    sees: bool,
) -> None:
    caller = {"token": door.token(role, domain_id, **claims), **scope}
    found = door.code("Event", "get", {"event_id": made["event_id"]}, **caller)
    assert found == ("OK" if sees else "NOT_FOUND")
    listed = door.client.call("Event", "list", {"event_id": made["event_id"]}, **caller).reply
    assert len(listed.get("results", [])) == (1 if sees else 0)
    webhook = door.code("Webhook", "get", {"webhook_id": made["webhook_id"]}, **caller)
    assert webhook == ("OK" if sees else "NOT_FOUND")


@pytest.mark.parametrize(
    ("key", "domain_id", "code"),
    [
        ("any", "domain-1", "OK"),
        ("domain-1", "domain-1", "OK"),
        ("domain-2", "domain-2", "OK"),
        ("stranger", "domain-1", "UNAUTHENTICATED"),
    ],
)
def test_key(door: Door, key: str, domain_id: str, code: str) -> None:
    assert door.code("Event", "list", {}, token=door.token("DOMAIN_ADMIN", domain_id, key=key)) == code


def test_the_key_of_one_domain_does_not_sign_for_another(door: Door) -> None:
    # The command line would not make such a token, so that the key is told another domain first.
    borrowed = {**door.keys["domain-2"], "domain_id": "domain-1"}
    token = issue_token(borrowed, Role.DOMAIN_ADMIN, domain_id="domain-1", expires_in=600)
    assert door.code("Event", "list", {}, token=token) == "UNAUTHENTICATED"


def test_an_expired_token_is_refused(door: Door) -> None:
    token = issue_token(
        door.keys["any"], Role.DOMAIN_ADMIN, domain_id="domain-1", expires_in=60, clock=lambda: time.time() - 3600
    )
    assert door.code("Event", "list", {}, token=token) == "UNAUTHENTICATED"


def test_the_command_line_with_a_token(
    door: Door,
    made: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    from event_service import cli  # noqa: PLC0415 - only here

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["event-service", *arguments, "--server", door.service.grpc_address])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    status, _, err = run("event", "list")
    assert (status, "event-service token issue" in err) == (1, True)
    assert made["event_id"] in run("event", "list", "--token", door.token("WORKSPACE_OWNER"))[1]
    monkeypatch.setenv("EVENT_SERVICE_TOKEN", door.token("SYSTEM_TOKEN", "system"))
    assert made["event_id"] in run("event", "list", "--domain-id", "domain-1")[1]
    assert made["event_id"] not in run("event", "list", "--domain-id", "domain-2")[1]
    assert run("event", "list")[0] == 1
