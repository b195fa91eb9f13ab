"""Who calls, as far as the service needs to know."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Upstream's role types. Every role the service does not know counts as USER, which may do nothing here."""

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
        workspace_id: "" where the role is not tied to one.
        projects: the projects the token names. For a WORKSPACE_MEMBER never None, and empty means nothing at all;
            for the other roles what a request may name as its `project_id`, None = anything: no part of their scope.
        permissions: prefixes of permission names such as `monitoring:Event.read`; empty = not restricted.
    """

    role: Role
    domain_id: str
    workspace_id: str = ""
    projects: tuple[str, ...] | None = None
    permissions: tuple[str, ...] = ()
