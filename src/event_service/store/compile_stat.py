"""Compiles statistics queries to aggregation stages."""

import re
from collections.abc import Sequence
from typing import Any

from event_service.query.fields import FieldSet
from event_service.query.stat_query import StatQuery
from event_service.query.stat_stages import (
    Accumulator,
    Count,
    DatePart,
    Group,
    GroupField,
    GroupKey,
    GroupPredicate,
    Limit,
    Project,
    ProjectField,
    ProjectOperator,
    Skip,
    Sort,
    Stage,
)
from event_service.query.unwind import Unwind
from event_service.store.compile import COMPARISONS, stored_names, stored_value, value_of
from event_service.store.compile_list import compile_unwind
from event_service.store.documents import ESCAPE

_DATE_PARTS = {DatePart.YEAR: "$year", DatePart.MONTH: "$month", DatePart.DAY: "$dayOfMonth"}
_ACCUMULATORS = {
    Accumulator.SUM: "$sum",
    Accumulator.AVERAGE: "$avg",
    Accumulator.MAX: "$max",
    Accumulator.MIN: "$min",
    Accumulator.FIRST: "$first",
    Accumulator.LAST: "$last",
    Accumulator.PUSH: "$push",
    Accumulator.ADD_TO_SET: "$addToSet",
    Accumulator.MERGE_OBJECTS: "$mergeObjects",
}
_ORDERED = frozenset({Accumulator.FIRST, Accumulator.LAST, Accumulator.PUSH, Accumulator.MERGE_OBJECTS})
"""Accumulators whose result depends on the order of the rows."""

_PROJECT_OPERATORS = {
    ProjectOperator.SIZE: "$size",
    ProjectOperator.SUM: "$sum",
    ProjectOperator.ARRAY_TO_OBJECT: "$arrayToObject",
    ProjectOperator.OBJECT_TO_ARRAY: "$objectToArray",
}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_FORMAT_PIECES = re.compile(r"%[bB]|(?:[^%]|%[^bB])+", re.DOTALL)

_COUNT: dict[str, Any] = {"$group": {"_id": None, "f0": {"$sum": 1}}}
_BETWEEN_GROUPS: dict[str, Any] = {"$limit": 2**31 - 1}
"""MongoDB 6.0.5 merges adjacent $group stages wrongly: three of them count 1 row of 3. A $limit prevents it."""

_INSERTION_ORDER: dict[str, Any] = {"$sort": {"_id": 1}}


def compile_stages(query: StatQuery, fields: FieldSet) -> list[dict[str, Any]]:
    """Return the stages after the $match.

    Rows that are still documents after the last stage are projected on the resource's fields. Stages that depend on
    an order, in a query without one, get the order of `_id`: insertion.
    """
    stages: list[dict[str, Any]] = []
    documents, ordered = True, False
    for stage in query.stages or ():
        if documents and not ordered and _depends_on_order(stage):
            stages.append(_INSERTION_ORDER)
            ordered = True
        append_stages(stages, *_compile(stage, documents))
        ordered = ordered or isinstance(stage, Sort)
        documents = documents and not isinstance(stage, Group | Count | Project)
    if documents:
        shown = [name for name in fields.kinds if name not in fields.unsearchable]
        stages.append({"$project": dict.fromkeys([*shown, *sorted(fields.references)], 1)})
    return stages


def compile_count(stages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the stages and a last one that counts their rows into `f0`; it yields no row for no rows."""
    counting = list(stages)
    append_stages(counting, _COUNT)
    return counting


def append_stages(stages: list[dict[str, Any]], *following: dict[str, Any]) -> None:
    """Append stages, with a stage between adjacent `$group` stages."""
    for stage in following:
        if stages and "$group" in stages[-1] and "$group" in stage:
            stages.append(_BETWEEN_GROUPS)
        stages.append(stage)


def _depends_on_order(stage: Stage) -> bool:
    if isinstance(stage, Group):
        return any(field.accumulator in _ORDERED for field in stage.fields)
    return isinstance(stage, Limit | Skip)


def _compile(stage: Stage, documents: bool) -> list[dict[str, Any]]:
    match stage:
        case Unwind():
            stages = compile_unwind(stage)
        case Group():
            stages = [_group(stage)]
        case Count():
            stages = [_COUNT]
        case Sort():
            stages = _sort(stage, documents)
        case Project():
            stages = [_project(stage)]
        case Limit():
            stages = [{"$limit": stage.rows}]
        case Skip():
            stages = [{"$skip": stage.rows}]
    return stages


def _group(group: Group) -> dict[str, Any]:
    keys = {key.slot: _key(key) for key in group.keys}
    return {"$group": {"_id": keys, **{field.slot: _field(field) for field in group.fields}}}


def _key(key: GroupKey) -> Any:
    value = value_of(key.path)
    if key.date is None:
        return value
    if isinstance(key.date, DatePart):
        return {_DATE_PARTS[key.date]: value}
    return _formatted(value, key.date)


def _formatted(value: Any, date_format: str) -> Any:
    """Return the expression for a formatted date. Month names are literals: $dateToString has them since MongoDB 7."""
    pieces = _FORMAT_PIECES.findall(date_format)
    if not any(piece in {"%b", "%B"} for piece in pieces):
        return _date_text(value, date_format)
    return {"$concat": [_format_piece(value, piece) for piece in pieces]}


def _format_piece(value: Any, piece: str) -> Any:
    if piece not in {"%b", "%B"}:
        return _date_text(value, piece)
    names = [month[:3] if piece == "%b" else month for month in _MONTHS]
    return {"$arrayElemAt": [{"$literal": names}, {"$subtract": [{"$month": value}, 1]}]}


def _date_text(value: Any, date_format: str) -> dict[str, Any]:
    # MongoDB evaluates the format: without $literal, one that begins with $ would read the field of that name.
    return {"$dateToString": {"format": {"$literal": date_format}, "date": value}}


def _field(field: GroupField) -> dict[str, Any]:
    if field.accumulator is Accumulator.COUNT:
        return {"$sum": _if_all(field.conditions, 1, 0) if field.conditions else 1}
    if field.path is None:
        return {"$push": {name: value_of(path) for name, path in field.members}}
    value = value_of(field.path)
    if not field.conditions:
        return {_ACCUMULATORS[field.accumulator]: value}
    otherwise = 0 if field.accumulator is Accumulator.SUM else None  # $avg, $min and $max ignore null
    return {_ACCUMULATORS[field.accumulator]: _if_all(field.conditions, value, otherwise)}


def _if_all(conditions: tuple[GroupPredicate, ...], value: Any, otherwise: Any) -> dict[str, Any]:
    tests = [
        {COMPARISONS[each.comparison]: [value_of(each.path), {"$literal": stored_value(each.value)}]}
        for each in conditions
    ]
    return {"$cond": [{"$and": tests}, value, otherwise]}


def _sort(sort: Sort, documents: bool) -> list[dict[str, Any]]:
    levels = {name: -1 if descending else 1 for path, descending in sort.levels for name in stored_names(path)}
    if documents:
        levels.setdefault("_id", 1)
    return [{"$sort": levels}] if levels else []


def _project(project: Project) -> dict[str, Any]:
    shown: dict[str, Any] = {".".join(field.target): _projected(field) for field in project.fields}
    if project.exclude_keys:
        shown["_id"] = 0
    return {"$project": shown}


def _projected(field: ProjectField) -> Any:
    value = value_of(field.path)
    if field.operator is None:
        return value
    expression = {_PROJECT_OPERATORS[field.operator]: value}
    return _with_unescaped_keys(expression) if field.operator is ProjectOperator.OBJECT_TO_ARRAY else expression


def _with_unescaped_keys(entries: dict[str, Any]) -> dict[str, Any]:
    """Return the entries with unescaped `k`: $objectToArray turns keys into values, which replies do not unescape."""
    stored = "$$entry.k"
    is_escaped = {"$eq": [{"$substrCP": [stored, 0, 1]}, ESCAPE]}
    pieces = {"$split": [{"$substrCP": [stored, 1, {"$strLenCP": stored}]}, ESCAPE * 2]}
    without_nul = _joined({"$split": ["$$piece", f"{ESCAPE}0"]}, "\0")
    zeros = {"$map": {"input": pieces, "as": "piece", "in": _joined({"$split": [without_nul, f"{ESCAPE}1"]}, ".")}}
    key = {"$cond": [is_escaped, _joined(zeros, ESCAPE), stored]}
    return {"$map": {"input": entries, "as": "entry", "in": {"k": key, "v": "$$entry.v"}}}


def _joined(texts: dict[str, Any], separator: str) -> dict[str, Any]:
    """Return the expression that joins strings with a separator."""
    longer = {"$concat": ["$$value", separator, "$$this"]}
    first = {"$eq": ["$$value", None]}
    return {"$reduce": {"input": texts, "initialValue": None, "in": {"$cond": [first, "$$this", longer]}}}
