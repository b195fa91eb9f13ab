"""Queries that rollups can answer: filters on dimensions and created_at alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from event_service.model.scope import Scope
from event_service.query.filter import Compare, Comparison, OneOf, Where, time_range, timeless
from event_service.store.totals.buckets import DIMENSIONS, GROUPINGS, Counts, Dimensions, Grouping


@dataclass(frozen=True, slots=True)
class RollupQuery:
    """The events of a domain with certain dimensions and times.

    Attributes:
        allowed: (one of DIMENSIONS, allowed values), sorted; a dimension that is not named allows all values.
        since, before: bounds of created_at, the first inclusive, the second exclusive; None for no bound.
    """

    domain_id: str
    allowed: tuple[tuple[str, frozenset[str]], ...] = ()
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

    def grouping(self, *keys: str) -> Grouping:
        """Return the grouping that has the dimensions of the filter and these."""
        needed = {*keys, *(name for name, _ in self.allowed)}
        return next(grouping for grouping in GROUPINGS if needed.issubset(grouping))

    def matching(self, grouping: Grouping, counts: Counts) -> Iterable[tuple[Dimensions, int]]:
        """Return the counts of events that match, regardless of their time."""
        tests = [(grouping.index(name), values) for name, values in self.allowed]
        if not tests:
            return counts.items()
        return (row for row in counts.items() if all(row[0][index] in values for index, values in tests))


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
    return RollupQuery(scope.domain_id, tuple(sorted(allowed.items())), times.since, times.before)


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
