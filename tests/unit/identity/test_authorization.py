import pytest

from event_service.errors import PermissionDenied, RequiredParameter
from event_service.identity.authorization import scope_of
from event_service.identity.principal import Principal, Role
from event_service.model.scope import Scope

SYSTEM = Principal(Role.SYSTEM_TOKEN, "domain-1", "workspace-1")
ADMIN = Principal(Role.DOMAIN_ADMIN, "domain-1")
OWNER = Principal(Role.WORKSPACE_OWNER, "domain-1", "workspace-1")
MEMBER = Principal(Role.WORKSPACE_MEMBER, "domain-1", "workspace-1", ("project-1", "project-2"))
MEMBER_WITHOUT_PROJECTS = Principal(Role.WORKSPACE_MEMBER, "domain-1", "workspace-1", ())
USER = Principal(Role.USER, "domain-1")

CALLS = [("Event", "read"), ("Webhook", "read"), ("Webhook", "write")]


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (SYSTEM, [Scope("domain-1", "workspace-1")] * 3),
        (Principal(Role.SYSTEM_TOKEN, "domain-1"), [Scope("domain-1")] * 3),
        (ADMIN, [Scope("domain-1"), Scope("domain-1"), None]),
        (OWNER, [Scope("domain-1", "workspace-1")] * 3),
        (MEMBER, [Scope("domain-1", "workspace-1", ("project-1", "project-2"))] * 3),
        (MEMBER_WITHOUT_PROJECTS, [Scope("domain-1", "workspace-1", ())] * 3),
        (USER, [None] * 3),
    ],
    ids=["system", "system-domain", "admin", "owner", "member", "member-of-nothing", "user"],
)
def test_role_table(principal, expected):
    for (resource, verb), scope in zip(CALLS, expected, strict=True):
        if scope is None:
            with pytest.raises(PermissionDenied):
                scope_of(principal, resource, verb)
        else:
            assert scope_of(principal, resource, verb) == scope


def test_system_token_requires_domain():
    with pytest.raises(RequiredParameter, match="x_domain_id"):
        scope_of(Principal(Role.SYSTEM_TOKEN, ""))


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        ((), [True, True, True]),
        (("monitoring",), [True, True, True]),
        (("monitoring:Event.read",), [True, False, False]),
        (("monitoring:Event", "monitoring:Webhook.read"), [True, True, False]),
        (("monitoring:Webhook.write",), [False, False, True]),
        (("monitoring:Event.read.more",), [False, False, False]),
        (("inventory",), [False, False, False]),
    ],
)
def test_permissions_are_prefixes(permissions, allowed):
    owner = Principal(Role.WORKSPACE_OWNER, "domain-1", "workspace-1", permissions=permissions)
    for (resource, verb), granted in zip(CALLS, allowed, strict=True):
        if granted:
            scope_of(owner, resource, verb)
        else:
            with pytest.raises(PermissionDenied):
                scope_of(owner, resource, verb)


@pytest.mark.parametrize(
    ("principal", "project_id", "allowed"),
    [
        (MEMBER, "project-1", True),
        (MEMBER, "", True),
        (MEMBER, "*", True),
        (MEMBER, "project-3", False),
        (MEMBER_WITHOUT_PROJECTS, "project-1", False),
        (MEMBER_WITHOUT_PROJECTS, "*", True),
        (OWNER, "project-3", True),
        (ADMIN, "project-3", True),
        (SYSTEM, "project-3", True),
        (Principal(Role.WORKSPACE_OWNER, "domain-1", "workspace-1", ("project-1",)), "project-1", True),
        (Principal(Role.WORKSPACE_OWNER, "domain-1", "workspace-1", ("project-1",)), "project-3", False),
    ],
)
def test_project_outside_token_permission_denied(principal, project_id, allowed):
    if allowed:
        scope_of(principal, project_id=project_id)
    else:
        with pytest.raises(PermissionDenied):
            scope_of(principal, project_id=project_id)


def test_star_does_not_widen_scope_of_member():
    assert scope_of(MEMBER, project_id="*").projects == ("project-1", "project-2")
