"""The documented lists, which must be fast: every scope, alone and with each request field.

The tests compare `store/indexes.py` with these, so that every request field has an index and every index a list.
"""

from dataclasses import dataclass

from event_service.query.fields import EVENT_FIELDS, FieldSet

SCOPES: tuple[frozenset[str], ...] = (
    frozenset({"domain_id"}),
    frozenset({"domain_id", "workspace_id"}),
    frozenset({"domain_id", "workspace_id", "project_id"}),
)
"""What callers are confined to, by role: a domain, a workspace, projects of a workspace."""

EVENT_REQUEST_FIELDS = (
    "event_id", "event_key", "event_type", "severity", "resource", "provider", "account", "workspace_id",
    "project_id", "alert_id", "webhook_id",
)  # fmt: skip
"""The fields of EventQuery beside `query`: `eq` filters."""

SELECTIVE = frozenset({"event_id", "event_key", "alert_id", "webhook_id", "project_id", "account", "resources"})
"""Fields whose values belong to one scope (ids), or nearly so: what is read beside it and thrown away is little."""


@dataclass(frozen=True, slots=True)
class ListShape:
    """One kind of list.

    Attributes:
        equal: fields that must equal a value (or, for a scope's projects, one of several).
        sort: (field, 1 or -1), ending with `_id`.
    """

    equal: frozenset[str]
    sort: tuple[tuple[str, int], ...]


def documented_shapes(
    fields: FieldSet = EVENT_FIELDS, request_fields: tuple[str, ...] = EVENT_REQUEST_FIELDS
) -> list[ListShape]:
    """Return every scope in the default order, alone and with each request field; events also by occurred_at."""
    order = tuple((name, -1 if descending else 1) for name, descending in fields.default_order)
    sort = (*order, ("_id", order[-1][1]))
    filters = [frozenset[str](), *(frozenset({fields.aliases.get(name, name)}) for name in request_fields)]
    equals = {scope | asked for scope in SCOPES for asked in filters}
    shapes = [ListShape(equal, sort) for equal in sorted(equals, key=sorted)]
    occurred = [ListShape(scope, (("occurred_at", -1), ("_id", 1))) for scope in SCOPES]
    return [*shapes, *occurred] if fields is EVENT_FIELDS else shapes
