"""Whose documents a call may touch. Part of every store query, so that an unscoped read cannot be written."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """The slice of the database a caller sees.

    Attributes:
        domain_id: never empty.
        workspace_id: None = every workspace of the domain.
        projects: None = every project; an empty tuple = nothing at all.
    """

    domain_id: str
    workspace_id: str | None = None
    projects: tuple[str, ...] | None = None
