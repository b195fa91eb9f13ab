"""Principals and roles."""

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """Upstream's role types. Unknown roles count as USER, which has no permissions here."""

    SYSTEM_TOKEN = "SYSTEM_TOKEN"  # noqa: S105 - the name of a role, not a secret
    DOMAIN_ADMIN = "DOMAIN_ADMIN"
    WORKSPACE_OWNER = "WORKSPACE_OWNER"
    WORKSPACE_MEMBER = "WORKSPACE_MEMBER"
    USER = "USER"


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    Attributes:
        domain_id: "" only for a SYSTEM_TOKEN whose call named no `x_domain_id`.
        workspace_id: "" if the role is not bound to one.
        projects: the token's projects. They are the scope of a WORKSPACE_MEMBER: never None, and empty matches nothing.
            For other roles they only limit `project_id` of requests; None for no limit.
        user_id: of the user or app; "" if the token names none, and without authentication.
        permissions: prefixes of permission names such as `monitoring:Event.read`; empty for no restriction.
    """

    role: Role
    domain_id: str
    workspace_id: str = ""
    projects: tuple[str, ...] | None = None
    permissions: tuple[str, ...] = ()
    user_id: str = field(default="", compare=False)  # equal reads of different users are shared
