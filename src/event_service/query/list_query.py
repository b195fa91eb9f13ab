"""`Query`: the request of a list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from event_service.errors import QueryError
from event_service.query.add_fields import AddedField, parse_add_fields
from event_service.query.fields import FieldPath, FieldSet, SortKey, check_key
from event_service.query.filter import EVERYTHING, Where, parse_where
from event_service.query.unwind import Unwind, parse_unwind
from event_service.query.values import boolean, integer, mapping, members

MAX_UINT32 = 2**32 - 1
MAX_SORT_KEYS = 31
"""MongoDB sorts by at most 32 keys; the row's id is one of them."""

MAX_ONLY = 1000
"""Paths of `only`: the database reads thousands of them slowly."""

_ROW_ID = frozenset({"_id", "id", "pk"})


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The rows of a page.

    Attributes:
        start: the first row, counted from 1; ignored without a limit.
        limit: maximum number of rows; None for the limit of the server.
    """

    start: int = 1
    limit: int | None = None

    @property
    def skip(self) -> int:
        """Return the number of rows before the page."""
        return self.start - 1


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A parsed list request.

    Attributes:
        sort: the levels of the order, followed by the row's id; None for the default order of the resource.
        only: the selected fields; None for all.
        count_only: return the number of rows only.
    """

    where: Where = EVERYTHING
    sort: tuple[SortKey, ...] | None = None
    page: PageRequest = PageRequest()
    only: tuple[FieldPath, ...] | None = None
    count_only: bool = False
    unwind: Unwind | None = None
    add_fields: tuple[AddedField, ...] = ()


def parse_list_query(
    query: Mapping[str, object] | None,
    equals: Mapping[str, str | int],
    fields: FieldSet,
    now: datetime | None = None,
) -> ListQuery:
    """Parse a `spaceone.api.core.v2.Query` as plain dict, and the request's own fields.

    Args:
        query: the message by its proto field names; None if unset.
        equals: request fields that must equal a value, by name; "" is an unset field.
        fields: of the resource.
        now: start of timediff operators; the current time by default.

    Raises:
        QueryError: names the path of the faulty field.
    """
    source = mapping(query if query is not None else {}, "query")
    where = parse_where(source, equals, fields, now or datetime.now(UTC))
    if members(source.get("lookup"), "query.lookup"):
        raise QueryError.at("query.lookup", "is not supported, since it would read other collections")
    named = members(source.get("only"), "query.only", MAX_ONLY)
    unwind = _unwind(source.get("unwind"), fields)
    added = parse_add_fields(source.get("add_fields"), fields, "query.add_fields")
    # The API requires `only` with unwind; add_fields follows the same rule.
    if not named and (unwind or added):
        raise QueryError.at("query.only", f"is required with {'unwind' if unwind else 'add_fields'}")
    if boolean(source.get("minimal"), "query.minimal"):
        only: tuple[FieldPath, ...] | None = tuple(fields.path(name) for name in fields.minimal)
    else:
        only = _only(named, fields, "query.only")
    return ListQuery(
        where=where,
        sort=_sort(source.get("sort"), fields, "query.sort"),
        page=parse_page(source.get("page"), "query.page"),
        only=only,
        count_only=boolean(source.get("count_only"), "query.count_only"),
        unwind=unwind,
        add_fields=added,
    )


def parse_page(page: object, at: str) -> PageRequest:
    """Parse `{start, limit}`; 0 is the same as unset.

    Raises:
        QueryError: not whole numbers of 32 bits.
    """
    if page is None:
        return PageRequest()
    source = mapping(page, at)
    start = integer(source.get("start") or 0, f"{at}.start", least=0, most=MAX_UINT32)
    limit = integer(source.get("limit") or 0, f"{at}.limit", least=0, most=MAX_UINT32)
    return PageRequest(max(start, 1), limit) if limit else PageRequest()


def _only(names: Sequence[object], fields: FieldSet, at: str) -> tuple[FieldPath, ...] | None:
    if not names:
        return None
    paths = [fields.resolve(name, f"{at}[{index}]", select=True) for index, name in enumerate(names)]
    return without_inner(paths)


def without_inner(paths: Sequence[FieldPath]) -> tuple[FieldPath, ...]:
    """Return the distinct paths, without those that lie inside another."""
    known = {path.parts for path in paths}
    kept: dict[tuple[str, ...], FieldPath] = {}
    for path in paths:
        if not any(path.parts[:depth] in known for depth in range(1, len(path.parts))):
            kept.setdefault(path.parts, path)
    return tuple(kept.values())


def _unwind(unwind: object, fields: FieldSet) -> Unwind | None:
    if unwind is None:
        return None
    source = mapping(unwind, "query.unwind")
    return parse_unwind(source, fields.find, "query.unwind") if source else None


def _sort(sort: object, fields: FieldSet, at: str) -> tuple[SortKey, ...] | None:
    """Return the known levels; None if no order is given, () if none of its keys is known."""
    items = members(sort, at)
    if not items:
        return None
    levels: dict[tuple[str, ...], SortKey] = {}
    for index, item in enumerate(items):
        source = mapping(item, f"{at}[{index}]")
        level = _sort_key(source, fields, f"{at}[{index}]")
        if level:
            levels.setdefault(level.path.parts, level)  # a repeated key has no effect
    if len(levels) > MAX_SORT_KEYS:
        raise QueryError.at(at, f"more than {MAX_SORT_KEYS} keys")
    return tuple(levels.values())


def _sort_key(source: Mapping[str, object], fields: FieldSet, at: str) -> SortKey | None:
    key = source.get("key")
    if not isinstance(key, str) or not key:
        raise QueryError.at(f"{at}.key", "is required")
    descending = boolean(source.get("desc"), f"{at}.desc") or key.startswith("-")
    name = key[1:] if key[0] in "+-" else key
    if not name:
        return None
    if name in _ROW_ID:
        name = "_id"
    check_key(name, f"{at}.key")
    path = fields.find(name, f"{at}.key")
    return SortKey(path, descending) if path.parts else None
