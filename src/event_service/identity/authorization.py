"""Authorization: a principal and a permission become the scope of documents.

Source: the role table of the Event API's rules ("Who may do what"), equal to upstream's authorization and mutation
handlers without their gaps.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from event_service.errors import PermissionDenied, RequiredParameter
from event_service.identity.principal import Principal, Role
from event_service.model.scope import Scope

Resource = Literal["Event", "Webhook", "Alert"]
Verb = Literal["read", "write"]

_READERS = frozenset({Role.SYSTEM_TOKEN, Role.DOMAIN_ADMIN, Role.WORKSPACE_OWNER, Role.WORKSPACE_MEMBER})
_WRITERS = _READERS - {Role.DOMAIN_ADMIN}

ROLES: Mapping[tuple[Resource, Verb], frozenset[Role]] = MappingProxyType(
    {
        ("Event", "read"): _READERS,
        ("Event", "write"): _WRITERS,
        ("Webhook", "read"): _READERS,
        ("Webhook", "write"): _WRITERS,
        ("Alert", "read"): _READERS,
        ("Alert", "write"): _WRITERS,
    }
)


def scope_of(principal: Principal, resource: Resource = "Event", verb: Verb = "read", project_id: str = "") -> Scope:
    """Return the documents that this call may access.

    Args:
        project_id: the `project_id` field of the request, "" without.

    Raises:
        PermissionDenied: the role, the token's permissions or its projects do not allow the call.
        RequiredParameter: a SYSTEM_TOKEN without the metadata `x_domain_id`.
    """
    if principal.role not in ROLES[resource, verb]:
        raise PermissionDenied
    if principal.role is Role.SYSTEM_TOKEN:
        # Permissions and projects do not restrict a system token, but it must name the domain it acts for.
        if not principal.domain_id:
            raise RequiredParameter("x_domain_id")
        return Scope(principal.domain_id, principal.workspace_id or None)
    _check_permissions(principal, f"monitoring:{resource}.{verb}")
    _check_project(principal, project_id)
    if principal.role is Role.DOMAIN_ADMIN:
        return Scope(principal.domain_id)
    if principal.role is Role.WORKSPACE_OWNER:
        return Scope(principal.domain_id, principal.workspace_id)
    return Scope(principal.domain_id, principal.workspace_id, principal.projects or ())


def _check_permissions(principal: Principal, permission: str) -> None:
    if principal.permissions and not permission.startswith(principal.permissions):
        raise PermissionDenied


def _check_project(principal: Principal, project_id: str) -> None:
    # `*` passes as in upstream; it is not a project id, so the scope matches no row.
    if project_id in ("", "*") or principal.projects is None:
        return
    if project_id not in principal.projects:
        raise PermissionDenied
