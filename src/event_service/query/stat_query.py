"""`StatisticsQuery`: the request of a stat."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from event_service.errors import QueryError, RequiredParameter
from event_service.query.fields import NO_FIELD, FieldPath, FieldSet
from event_service.query.filter import Where, parse_where
from event_service.query.list_query import MAX_SORT_KEYS, PageRequest, parse_page
from event_service.query.stat_group import parse_group
from event_service.query.stat_rows import MAX_COLUMNS, Columns, Rows, column_name
from event_service.query.stat_stages import Count, Limit, Project, ProjectField, ProjectOperator, Skip, Sort, Stage
from event_service.query.unwind import parse_unwind
from event_service.query.values import alias, boolean, integer, mapping, members

MAX_STAGES = 100
MAX_INT32 = 2**31 - 1


@dataclass(frozen=True)
class StatQuery:
    """A parsed stat request: stages, or the distinct values of one field.

    Attributes:
        stages: None for distinct.
        columns: of the rows after the last stage, by the names of the reply.
        distinct: the field; an unknown one has no values.
        page: without a limit, all rows.
    """

    where: Where
    stages: tuple[Stage, ...] | None
    columns: Columns
    distinct: FieldPath | None
    page: PageRequest


def parse_stat_query(query: Mapping[str, object] | None, fields: FieldSet, now: datetime | None = None) -> StatQuery:
    """Parse a `spaceone.api.core.v2.StatisticsQuery` as plain dict.

    Args:
        query: the message by its proto field names; None if unset.
        fields: of the resource.
        now: start of timediff operators; the current time by default.

    Raises:
        RequiredParameter: no query, or neither aggregate nor distinct.
        QueryError: names the path of the faulty field.
    """
    if query is None:
        raise RequiredParameter("query")
    source = mapping(query, "query")
    aggregate = members(source.get("aggregate"), "query.aggregate", MAX_STAGES)
    distinct = source.get("distinct")
    if not aggregate and not distinct:
        raise RequiredParameter("aggregate")
    where = parse_where(source, {}, fields, now or datetime.now(UTC))
    page = parse_page(source.get("page"), "query.page")
    if not aggregate:
        return StatQuery(where, None, Columns(), _distinct(distinct, fields), page)
    rows, stages = Rows(fields), []
    for index, item in enumerate(aggregate):
        stage, rows = _stage(mapping(item, f"query.aggregate[{index}]"), rows, f"query.aggregate[{index}]")
        stages.append(stage)
    return StatQuery(where, tuple(stages), rows.columns, None, page)


def _distinct(distinct: object, fields: FieldSet) -> FieldPath:
    if isinstance(distinct, str) and distinct.startswith("$"):
        return NO_FIELD
    return fields.find("_id" if distinct in ("id", "pk") else distinct, "query.distinct")


def _stage(source: Mapping[str, object], rows: Rows, at: str) -> tuple[Stage, Rows]:
    names = [name for name in source if name in _STAGES]
    if len(names) != 1 or len(source) != 1:
        raise QueryError.at(at, f"must be one of {', '.join(_STAGES)}")
    return _STAGES[names[0]](source[names[0]], rows, f"{at}.{names[0]}")


def _unwind(source: object, rows: Rows, at: str) -> tuple[Stage, Rows]:
    return parse_unwind(source, rows.find, at), rows


def _group(source: object, rows: Rows, at: str) -> tuple[Stage, Rows]:
    return parse_group(source, rows, at)


def _count(source: object, rows: Rows, at: str) -> tuple[Stage, Rows]:
    name = column_name(mapping(source, at).get("name"), f"{at}.name")
    if "." in name or name == "_id":
        raise QueryError.at(f"{at}.name", "must not be _id and must not contain '.'")
    return Count("f0"), Rows(rows.field_set, Columns(fields={"f0": name}, row_id=False))


def _sort(source: object, rows: Rows, at: str) -> tuple[Stage, Rows]:
    items = members(source, at)
    if not items:
        raise QueryError.at(at, "needs at least one key")
    levels: dict[FieldPath, bool] = {}
    for index, item in enumerate(items):
        level = mapping(item, f"{at}[{index}]")
        path = rows.find(level.get("key"), f"{at}[{index}].key")
        if path.parts:
            descending = level.get("desc")
            if isinstance(descending, int | float):  # a ListValue is not typed, and 1 is true to upstream
                descending = bool(descending)
            levels.setdefault(path, boolean(descending, f"{at}[{index}].desc"))
    if len(levels) > MAX_SORT_KEYS:
        raise QueryError.at(at, f"more than {MAX_SORT_KEYS} keys")
    return Sort(tuple(levels.items())), rows


def _project(source: object, rows: Rows, at: str) -> tuple[Stage, Rows]:
    given = mapping(source, at)
    exclude_keys = boolean(given.get("exclude_keys"), f"{at}.exclude_keys")
    items = members(given.get("fields"), f"{at}.fields", MAX_COLUMNS)
    if not items:
        raise QueryError.at(f"{at}.fields", "needs at least one field")
    fields: dict[tuple[str, ...], ProjectField] = {}
    for index, item in enumerate(items):
        projected = _project_field(item, rows, f"{at}.fields[{index}]")
        fields[projected.target] = projected
    for target in fields:
        if any(other != target and other[: len(target)] == target for other in fields):
            raise QueryError.at(f"{at}.fields", f"{'.'.join(target)!r} is named together with a field inside it")
    columns = Columns(
        keys={} if exclude_keys else rows.columns.keys,
        fields={target[0]: target[0] for target in fields},
        row_id=rows.columns.row_id and not exclude_keys,
    )
    return Project(tuple(fields.values()), exclude_keys), Rows(rows.field_set, columns)


def _project_field(item: object, rows: Rows, at: str) -> ProjectField:
    source = mapping(item, at)
    key, key_name = alias(source, "key", "k")
    name, name_name = alias(source, "name", "n")
    operator, operator_name = alias(source, "operator", "o")
    target = tuple(column_name(name, f"{at}.{name_name}").split("."))
    if target[0] == "_id" or not all(target) or any(part.startswith("$") for part in target):
        raise QueryError.at(
            f"{at}.{name_name}", "must not start with _id, and no part between dots may be empty or start with $"
        )
    path = rows.find(key, f"{at}.{key_name}")
    if not operator:
        return ProjectField(target, path)
    if not isinstance(operator, str) or operator not in set(ProjectOperator):
        raise QueryError.at(f"{at}.{operator_name}", f"must be one of {', '.join(ProjectOperator)}")
    return ProjectField(target, path, ProjectOperator(operator))


def _limit(source: object, rows: Rows, at: str) -> tuple[Stage, Rows]:
    return Limit(integer(source, at, least=1, most=MAX_INT32)), rows


def _skip(source: object, rows: Rows, at: str) -> tuple[Stage, Rows]:
    return Skip(integer(source, at, least=0, most=MAX_INT32)), rows


_STAGES: dict[str, Callable[[object, Rows, str], tuple[Stage, Rows]]] = {
    "unwind": _unwind,
    "group": _group,
    "count": _count,
    "sort": _sort,
    "project": _project,
    "limit": _limit,
    "skip": _skip,
}
