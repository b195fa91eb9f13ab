"""Queries that rollups can answer: filters on dimensions and created_at alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from event_service.model.scope import Scope
from event_service.query.filter import Compare, Comparison, OneOf, Where, time_range, timeless
from event_service.store.totals.rollup_bucket import DIMENSIONS, Dimensions


@dataclass(frozen=True, slots=True)
class RollupQuery:
    """The events of a domain with certain dimensions and times.

    Attributes:
        allowed: (index into DIMENSIONS, allowed values); a dimension that is not named allows all values.
        since, before: bounds of created_at, the first inclusive, the second exclusive; None for no bound.
    """

    domain_id: str
    allowed: tuple[tuple[int, frozenset[str]], ...] = ()
    since: datetime | None = None
    before: datetime | None = None

    @property
    def has_bounds(self) -> bool:
        """Return whether events without created_at are excluded."""
        return self.since is not None or self.before is not None

    @property
    def is_empty(self) -> bool:
        """Return whether the bounds exclude every time."""
        return self.since is not None and self.before is not None and self.since >= self.before

    def count(self, counts: Mapping[Dimensions, int]) -> int:
        """Return how many of these events match, regardless of their time."""
        if not self.allowed:
            return sum(counts.values())
        return sum(number for dimensions, number in counts.items() if self.allows(dimensions))

    def allows(self, dimensions: Dimensions) -> bool:
        """Return whether events with these dimensions match."""
        return all(dimensions[index] in values for index, values in self.allowed)


def rollup_query_of(scope: Scope, where: Where) -> RollupQuery | None:
    """Return the query for a scope and a filter, or None if the filter needs other fields than the dimensions."""
    if where.some:
        return None
    allowed: dict[str, frozenset[str]] = {}
    if scope.workspace_id is not None:
        allowed["workspace_id"] = frozenset({scope.workspace_id})
    if scope.projects is not None:
        allowed["project_id"] = frozenset(scope.projects)
    for predicate in timeless(where).every:
        constraint = _constraint(predicate)
        if constraint is None:
            return None
        name, values = constraint
        allowed[name] = allowed[name] & values if name in allowed else values
    times = time_range(where)
    by_index = tuple((DIMENSIONS.index(name), values) for name, values in sorted(allowed.items()))
    return RollupQuery(scope.domain_id, by_index, times.since, times.before)


def _constraint(predicate: object) -> tuple[str, frozenset[str]] | None:
    """Return the dimension and the values that a predicate allows, or None for any other predicate."""
    values: Iterable[object]
    if isinstance(predicate, Compare) and predicate.comparison is Comparison.EQUAL:
        values, path = [predicate.value], predicate.path
    elif isinstance(predicate, OneOf) and not predicate.negated:
        values, path = predicate.values, predicate.path
    else:
        return None
    texts = frozenset(value for value in values if isinstance(value, str))
    # A value that is not a string, such as null, also matches missing fields, which buckets do not distinguish.
    if path.name not in DIMENSIONS or len(path.parts) > 1 or len(texts) < len(set(map(repr, values))):
        return None
    return path.name, texts
