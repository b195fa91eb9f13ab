"""The scope of a call. Every store query requires one, so that an unscoped read cannot be written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of the database that a caller may read and write.

    Attributes:
        domain_id: never empty.
        workspace_id: None = every workspace of the domain.
        projects: None = every project; an empty tuple = none.
    """

    domain_id: str
    workspace_id: str | None = None
    projects: tuple[str, ...] | None = None
