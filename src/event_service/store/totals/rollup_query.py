"""Which questions the counted hours can answer, and what they are about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from event_service.model.scope import Scope
from event_service.query.filter import Compare, Comparison, OneOf, Where, time_range, timeless
from event_service.store.totals.rollup_bucket import DIMENSIONS, Dimensions


@dataclass(frozen=True, slots=True)
class RollupQuery:
    """How many events of a domain are of certain kinds and times.

    Attributes:
        allowed: by position in a kind, the values of which one is asked for; none for all.
        since, before: bounds of created_at, the first included, the second not; None for no bound.
    """

    domain_id: str
    allowed: tuple[tuple[int, frozenset[str]], ...] = ()
    since: datetime | None = None
    before: datetime | None = None

    def counts(self, kinds: Mapping[Dimensions, int]) -> int:
        """How many of these are asked for, whatever their time."""
        if not self.allowed:
            return sum(kinds.values())
        return sum(number for kind, number in kinds.items() if self.allows(kind))

    def allows(self, kind: Dimensions) -> bool:
        """Whether events of this kind are asked for."""
        return all(kind[place] in values for place, values in self.allowed)


def rollup_query_of(scope: Scope, where: Where) -> RollupQuery | None:
    """The question behind a scope and a filter; None where it is about more than kinds and times."""
    if where.some:
        return None
    allowed: dict[str, frozenset[str]] = {}
    if scope.workspace_id is not None:
        allowed["workspace_id"] = frozenset({scope.workspace_id})
    if scope.projects is not None:
        allowed["project_id"] = frozenset(scope.projects)
    for each in timeless(where).every:
        values = _texts(each)
        if values is None:
            return None
        name, chosen = values
        allowed[name] = allowed[name] & chosen if name in allowed else chosen
    times = time_range(where)
    places = tuple((DIMENSIONS.index(name), values) for name, values in sorted(allowed.items()))
    return RollupQuery(scope.domain_id, places, times.since, times.before)


def _texts(each: object) -> tuple[str, frozenset[str]] | None:
    """The dimension that a condition is about, and the values it allows."""
    values: Iterable[object]
    if isinstance(each, Compare) and each.comparison is Comparison.EQUAL:
        values, path = [each.value], each.path
    elif isinstance(each, OneOf) and not each.negated:
        values, path = each.values, each.path
    else:
        return None
    texts = frozenset(value for value in values if isinstance(value, str))
    if path.name not in DIMENSIONS or len(path.parts) > 1 or len(texts) < len(set(map(repr, values))):
        return None
    return path.name, texts
