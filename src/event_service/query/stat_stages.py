"""The stages of a statistics query, as typed trees.

Keys and fields of a stage are computed under slots (`k0`, `f0`), so that a caller's name never becomes a key of the
database. `StatQuery.columns` maps the slots to the names in the reply.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from event_service.query.fields import FieldPath
from event_service.query.filter import Comparison
from event_service.query.unwind import Unwind
from event_service.query.values import Value


class DatePart(StrEnum):
    """The part of a date that a group key is made of, as a number."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"


class Accumulator(StrEnum):
    """The aggregation of a group field."""

    COUNT = "count"
    SUM = "sum"
    AVERAGE = "average"
    MAX = "max"
    MIN = "min"
    FIRST = "first"
    LAST = "last"
    PUSH = "push"
    ADD_TO_SET = "add_to_set"
    MERGE_OBJECTS = "merge_objects"


class ProjectOperator(StrEnum):
    """The operator of a project field."""

    SIZE = "size"
    SUM = "sum"
    ARRAY_TO_OBJECT = "array_to_object"
    OBJECT_TO_ARRAY = "object_to_array"


@dataclass(frozen=True, slots=True)
class GroupKey:
    """A key to group by.

    Attributes:
        date: None for the whole value, a part of the date, or a checked $dateToString format.
    """

    slot: str
    path: FieldPath
    date: DatePart | str | None = None


@dataclass(frozen=True, slots=True)
class GroupPredicate:
    """The rows that a field counts: those whose value compares so with a literal, as in filters; lists as a whole."""

    path: FieldPath
    comparison: Comparison
    value: Value


@dataclass(frozen=True, slots=True)
class GroupField:
    """A field that is computed over the rows of a group.

    Attributes:
        path: None for count, and for a push of objects.
        members: for push: (name, path) of each member of the objects.
        conditions: predicates of count, sum and average, joined by AND.
    """

    slot: str
    accumulator: Accumulator
    path: FieldPath | None = None
    members: tuple[tuple[str, FieldPath], ...] = ()
    conditions: tuple[GroupPredicate, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """One row per combination of key values."""

    keys: tuple[GroupKey, ...]
    fields: tuple[GroupField, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """One row with the number of rows."""

    slot: str


@dataclass(frozen=True, slots=True)
class Sort:
    """Levels as (path, descending), without unknown paths."""

    levels: tuple[tuple[FieldPath, bool], ...]


@dataclass(frozen=True, slots=True)
class ProjectField:
    """A field of the new row: its target and its source."""

    target: tuple[str, ...]
    path: FieldPath
    operator: ProjectOperator | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """Rows with these fields, and the keys of the last group unless excluded."""

    fields: tuple[ProjectField, ...]
    exclude_keys: bool


@dataclass(frozen=True, slots=True)
class Limit:
    """The first rows only."""

    rows: int


@dataclass(frozen=True, slots=True)
class Skip:
    """All but the first rows."""

    rows: int


Stage: TypeAlias = Unwind | Group | Count | Sort | Project | Limit | Skip
