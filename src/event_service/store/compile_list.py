"""Compiles lists that unwind rows or add fields to aggregation stages."""

from typing import Any

from event_service.query.add_fields import (
    AddedField,
    Always,
    AmongValues,
    Choice,
    Combined,
    Compared,
    Expression,
    FieldValue,
    Literal,
    Negated,
    Test,
)
from event_service.query.fields import FieldSet
from event_service.query.list_query import ListQuery
from event_service.query.unwind import Unwind
from event_service.store.compile import (
    COMPARISONS,
    compile_predicate,
    compile_projection,
    compile_sort,
    stored_name,
    value_of,
)
from event_service.store.documents import stored_value


def compile_unwind(unwind: Unwind) -> list[dict[str, Any]]:
    """Return the $unwind of an array and the $match on its elements."""
    stages: list[dict[str, Any]] = [{"$unwind": f"${stored_name(unwind.path)}"}]
    if unwind.conditions:
        stages.append({"$match": {"$and": [compile_predicate(each) for each in unwind.conditions]}})
    return stages


def compile_list_rows(query: ListQuery, fields: FieldSet, limit: int) -> list[dict[str, Any]]:
    """Return the stages after the $match for at most `limit` rows of a list."""
    stages = compile_unwind(query.unwind) if query.unwind else []
    stages += compile_added_fields(query.add_fields)
    stages.append({"$sort": dict(compile_sort(query.sort, fields))})
    if query.page.skip:
        stages.append({"$skip": query.page.skip})
    stages.append({"$limit": limit})
    if query.only is not None:
        stages.append({"$project": compile_projection(query.only)})
    return stages


def compile_added_fields(added: tuple[AddedField, ...]) -> list[dict[str, Any]]:
    """Return the $addFields stage, or no stage for no fields."""
    if not added:
        return []
    return [{"$addFields": {stored_name(field.path): _expression(field.value) for field in added}}]


def _expression(expression: Expression) -> Any:
    match expression:
        case Literal():
            return {"$literal": stored_value(expression.value)}
        case FieldValue():
            return value_of(expression.path)
        case Choice():
            return {
                "$cond": [
                    _test(expression.test),
                    _expression(expression.then),
                    _expression(expression.otherwise),
                ]
            }


def _test(test: Test) -> Any:
    match test:
        case Always():
            return {"$literal": test.passed}
        case Compared():
            return {COMPARISONS[test.comparison]: [_expression(test.left), _expression(test.right)]}
        case AmongValues():
            return {"$in": [_expression(test.operand), {"$literal": stored_value(test.values)}]}
        case Combined():
            return {"$and" if test.every else "$or": [_test(each) for each in test.tests]}
        case Negated():
            return {"$not": [_test(test.test)]}
