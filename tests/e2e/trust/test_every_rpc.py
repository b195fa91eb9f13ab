"""Every rpc of SpaceONE's services under every role, called with its stubs, in clear, over mutual TLS and as JSON.

The code each call ends with is one row of a table; what each role gets to see is another.
Source: the Event API's rules, "Who may do what".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.foreign import Refused
from tests.e2e.trust.conftest import Door, Trust
from tests.e2e.trust.realm import ROLES

pytestmark = pytest.mark.xdist_group("trust")

PLUGIN = {"plugin_id": "native"}

METHODS = (
    ("Event", "create"), ("Event", "get"), ("Event", "list"), ("Event", "stat"),
    ("Alert", "create"), ("Alert", "get"), ("Alert", "list"), ("Alert", "stat"),
    ("Alert", "update"), ("Alert", "assign_user"), ("Alert", "delete"),
    ("Webhook", "get"), ("Webhook", "list"), ("Webhook", "stat"),
    ("Webhook", "update"), ("Webhook", "update_plugin"), ("Webhook", "verify_plugin"),
    ("Webhook", "disable"), ("Webhook", "enable"), ("Webhook", "create"), ("Webhook", "delete"),
)  # fmt: skip

OK, DENIED, MISSING, ANONYMOUS = "OK", "PERMISSION_DENIED", "NOT_FOUND", "UNAUTHENTICATED"

# In the order above. Event.create asks for no token: the webhook's id and key are the credential.
CODES = {
    "SYSTEM_TOKEN": [OK] * 21,
    "DOMAIN_ADMIN": [OK] * 4 + [DENIED] + [OK] * 3 + [DENIED] * 3 + [OK] * 3 + [DENIED] * 7,
    "WORKSPACE_OWNER": [OK] * 21,
    "WORKSPACE_MEMBER": [OK] * 21,
    "member of nothing": [
        *(OK, MISSING, OK, OK),
        *(DENIED, MISSING, OK, OK, MISSING, MISSING, MISSING),
        *(MISSING, OK, OK, *[MISSING] * 5, DENIED, MISSING),
    ],
    "USER": [OK] + [DENIED] * 20,
    "anonymous": [OK] + [ANONYMOUS] * 20,
}

TEXTS = {
    DENIED: "ERROR_PERMISSION_DENIED: Permission denied.",
    ANONYMOUS: "ERROR_AUTHENTICATE_FAILURE: The token is missing, invalid or expired.",
}


@dataclass(frozen=True)
class Made:
    """A webhook as `Webhook.create` answered, an event it was sent, and its alert."""

    webhook: dict[str, Any]
    event_id: str = ""
    alert_id: str = ""

    @property
    def delivery(self) -> dict[str, Any]:
        """A request of Event.create."""
        sender = {name: self.webhook[name] for name in ("webhook_id", "access_key")}
        return {**sender, "data": {"event_key": "k", "title": "sent"}}

    def request(self, service: str, method: str) -> dict[str, Any]:
        """A request that the role's scope alone decides about."""
        this = {"webhook_id": self.webhook["webhook_id"]}
        special: dict[tuple[str, str], dict[str, Any]] = {
            ("Event", "create"): self.delivery,
            ("Event", "get"): {"event_id": self.event_id},
            ("Event", "stat"): {"query": {"distinct": "event_id"}},
            ("Alert", "create"): {"title": "by hand", "project_id": "project-1"},
            ("Alert", "get"): {"alert_id": self.alert_id},
            ("Alert", "stat"): {"query": {"distinct": "alert_id"}},
            ("Alert", "update"): {"alert_id": self.alert_id, "state": "ACKNOWLEDGED"},
            ("Alert", "assign_user"): {"alert_id": self.alert_id, "assignee": "somebody"},
            ("Alert", "delete"): {"alert_id": self.alert_id},
            ("Webhook", "stat"): {"query": {"distinct": "webhook_id"}},
            ("Webhook", "update"): {**this, "name": "renamed"},
            ("Webhook", "update_plugin"): {**this, "options": {"auto_recovery": True}},
            ("Webhook", "create"): {"name": "another", "project_id": "project-1", "plugin_info": PLUGIN},
        }
        return special.get((service, method), this)


Maker = Callable[..., Made]


@pytest.fixture
def make(door: Door, trust: Trust) -> Maker:
    """Make a webhook as an owner of workspace-1 in domain-1, by default, and send it an event."""

    def make(project_id: str = "project-1", **claims: str) -> Made:
        owner = trust.realm.metadata("WORKSPACE_OWNER", **claims)
        wanted = {"name": "made", "project_id": project_id, "plugin_info": PLUGIN}
        webhook = door.ask("Webhook", "create", wanted, **owner)
        made = Made(webhook)
        door.ask("Event", "create", made.delivery)
        (row,) = door.ask("Event", "list", {"webhook_id": webhook["webhook_id"]}, **owner)["results"]
        return Made(webhook, row["event_id"], row["alert_id"])

    return make


@pytest.mark.parametrize("role", CODES)
def test_every_rpc(door: Door, trust: Trust, make: Maker, role: str) -> None:
    made = make()
    caller = trust.realm.metadata(role)
    got = [door.code(*method, made.request(*method), **caller) for method in METHODS]
    assert dict(zip(METHODS, got, strict=True)) == dict(zip(METHODS, CODES[role], strict=True))


@pytest.mark.parametrize("role", ["USER", "anonymous", "DOMAIN_ADMIN"])
def test_a_refusal_says_one_thing(door: Door, trust: Trust, make: Maker, role: str) -> None:
    made = make()
    for method, code in zip(METHODS, CODES[role], strict=True):
        if code in TEXTS:
            with pytest.raises(Refused) as caught:
                door.ask(*method, made.request(*method), **trust.realm.metadata(role))
            assert caught.value.details == TEXTS[code]


def test_what_each_role_sees(door: Door, trust: Trust, make: Maker) -> None:
    places = {
        "here": make(),
        "other project": make("project-2"),
        "other workspace": make(wid="workspace-2"),
        "other domain": make(did="domain-2"),
    }
    ids = {made.event_id: place for place, made in places.items()}
    filters = [{"k": "event_id", "v": list(ids), "o": "in"}]
    hooks = {made.webhook["webhook_id"]: place for place, made in places.items()}
    hook_filters = [{"k": "webhook_id", "v": list(hooks), "o": "in"}]
    alerts = {made.alert_id: place for place, made in places.items()}
    alert_filters = [{"k": "alert_id", "v": list(alerts), "o": "in"}]
    sees = {
        "SYSTEM_TOKEN": {"here", "other project"},
        "DOMAIN_ADMIN": {"here", "other project", "other workspace"},
        "WORKSPACE_OWNER": {"here", "other project"},
        "WORKSPACE_MEMBER": {"here"},
        "member of nothing": set(),
    }
    assert sees.keys() | {"USER"} == ROLES.keys()
    for role, seen in sees.items():
        caller = trust.realm.metadata(role)
        listed = door.ask("Event", "list", {"query": {"filter": filters}}, **caller)
        assert {ids[row["event_id"]] for row in listed.get("results", [])} == seen, role
        assert listed.get("total_count", 0) == len(seen), role
        found = door.ask("Event", "stat", {"query": {"filter": filters, "distinct": "event_id"}}, **caller)
        assert {ids[event_id] for event_id in found["results"]} == seen, role
        listed = door.ask("Alert", "list", {"query": {"filter": alert_filters}}, **caller)
        assert {alerts[row["alert_id"]] for row in listed.get("results", [])} == seen, role
        found = door.ask("Alert", "stat", {"query": {"filter": alert_filters, "distinct": "alert_id"}}, **caller)
        assert {alerts[alert_id] for alert_id in found["results"]} == seen, role
        listed = door.ask("Webhook", "list", {"query": {"filter": hook_filters}}, **caller)
        assert {hooks[row["webhook_id"]] for row in listed.get("results", [])} == seen, role
        found = door.ask("Webhook", "stat", {"query": {"filter": hook_filters, "distinct": "webhook_id"}}, **caller)
        assert {hooks[webhook_id] for webhook_id in found["results"]} == seen, role
        for place, made in places.items():
            for method in (("Event", "get"), ("Alert", "get"), ("Webhook", "get")):
                code = door.code(*method, made.request(*method), **caller)
                assert code == (OK if place in seen else MISSING), (role, place)


def test_a_system_token_says_for_whom(door: Door, trust: Trust, make: Maker) -> None:
    made = make()
    token = trust.realm.token("SYSTEM_TOKEN")
    with pytest.raises(Refused) as caught:
        door.ask("Event", "list", {}, token=token)
    assert caught.value.details == "ERROR_REQUIRED_PARAMETER: Required parameter. (key = x_domain_id)"
    with pytest.raises(Refused) as caught:
        door.ask("Webhook", "create", made.request("Webhook", "create"), token=token, x_domain_id="domain-1")
    assert caught.value.details == "ERROR_REQUIRED_PARAMETER: Required parameter. (key = x_workspace_id)"
    assert door.code("Event", "get", {"event_id": made.event_id}, token=token, x_domain_id="domain-1") == OK
    assert door.code("Event", "get", {"event_id": made.event_id}, token=token, x_domain_id="domain-2") == MISSING
    # x_domain_id of other roles is ignored.
    admin = trust.realm.metadata("DOMAIN_ADMIN", did="domain-2")
    assert door.code("Event", "get", {"event_id": made.event_id}, **admin, x_domain_id="domain-1") == MISSING


def test_permissions_and_projects_of_the_token(door: Door, trust: Trust, make: Maker) -> None:
    made = make()
    reader = trust.realm.metadata("WORKSPACE_OWNER", permissions=["monitoring:Webhook.read"])
    assert door.code("Webhook", "get", made.request("Webhook", "get"), **reader) == OK
    assert door.code("Webhook", "disable", made.request("Webhook", "disable"), **reader) == DENIED
    assert door.code("Event", "list", {}, **reader) == DENIED
    viewer = trust.realm.metadata("WORKSPACE_OWNER", permissions=["monitoring:Alert.read"])
    assert door.code("Alert", "get", made.request("Alert", "get"), **viewer) == OK
    assert door.code("Alert", "update", made.request("Alert", "update"), **viewer) == DENIED
    moved = {"alert_id": made.alert_id, "project_id": "project-2"}
    assert door.code("Alert", "update", moved, **trust.realm.metadata("WORKSPACE_MEMBER")) == DENIED
    member = trust.realm.metadata("WORKSPACE_MEMBER")
    assert door.code("Event", "list", {"project_id": "project-2"}, **member) == DENIED
    assert door.ask("Event", "list", {"project_id": "*"}, **member).get("results", []) == []
    elsewhere = {"name": "x", "project_id": "project-2", "plugin_info": PLUGIN}
    assert door.code("Webhook", "create", elsewhere, **member) == DENIED


@pytest.mark.parametrize("service", ["Event", "Alert", "Webhook"])
def test_a_foreign_id_and_a_missing_one_are_answered_alike(door: Door, trust: Trust, make: Maker, service: str) -> None:
    made = make(did="domain-2")
    key = f"{service.lower()}_id"
    foreign = {"Event": made.event_id, "Alert": made.alert_id, "Webhook": made.webhook["webhook_id"]}[service]
    missing = f"{service.lower()}-{'0' * 12}"
    for role in ("SYSTEM_TOKEN", "DOMAIN_ADMIN", "WORKSPACE_OWNER", "WORKSPACE_MEMBER", "member of nothing"):
        texts = []
        for value in (foreign, missing):
            with pytest.raises(Refused) as caught:
                door.ask(service, "get", {key: value}, **trust.realm.metadata(role))
            assert caught.value.code == MISSING
            texts.append(caught.value.details.replace(value, "ID"))
        assert texts == [f"ERROR_NOT_FOUND: Resource cannot be found or access is denied. ({key} = ID)"] * 2
