"""Every documented list has an index, and every index a list."""

import pytest
from pymongo import ASCENDING

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.store.indexes import EVENT, Index, wanted
from tests.unit.store.shapes import EVENT_REQUEST_FIELDS, SCOPES, SELECTIVE, ListShape, documented_shapes

INDEXES = wanted()
SHAPES = documented_shapes()


def serves(index: Index, shape: ListShape) -> bool:
    """Return whether the index serves the list by equality-sort-range.

    Equality: the compared fields, in any order. Sort: the list's sort, forwards or backwards. Further compared fields
    are in the index after the sort, or an equality field is selective.
    """
    if index.collection != EVENT or index.sparse or index.expire_after is not None:
        return False
    fields = [field for field, _ in index.keys]
    if index.unique and set(fields) <= shape.equal:
        return True
    prefix = 0
    while prefix < len(fields) and fields[prefix] in shape.equal:
        prefix += 1
    order = index.keys[prefix : prefix + len(shape.sort)]
    if not prefix or order not in (shape.sort, tuple((field, -direction) for field, direction in shape.sort)):
        return False
    beyond = shape.equal - set(fields)
    return not beyond or bool(SELECTIVE & set(fields[:prefix]))


def test_request_fields_equal_the_contract() -> None:
    in_contract = {field.name for field in event_pb2.EventQuery.DESCRIPTOR.fields} - {"query"}
    assert set(EVENT_REQUEST_FIELDS) == in_contract


def test_shapes_cover_every_scope_and_field() -> None:
    newest_first = (("created_at", -1), ("_id", -1))
    asked = {shape.equal for shape in SHAPES if shape.sort == newest_first}
    assert frozenset({"domain_id", "workspace_id", "project_id", "resources"}) in asked
    stored = {"resources" if name == "resource" else name for name in EVENT_REQUEST_FIELDS}
    assert asked == {scope | {name} for scope in SCOPES for name in stored} | set(SCOPES)
    assert len(SHAPES) == len(asked) + len(SCOPES)
    assert {shape.equal for shape in SHAPES if shape.sort == (("occurred_at", -1), ("_id", 1))} == set(SCOPES)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "+".join([*sorted(shape.equal), shape.sort[0][0]]))
def test_documented_lists_have_an_equality_sort_range_index(shape: ListShape) -> None:
    assert [index.name for index in INDEXES if serves(index, shape)]


def test_no_index_is_redundant() -> None:
    for index in INDEXES:
        if index.collection == EVENT and not index.unique and not index.sparse:
            rest = [other for other in INDEXES if other is not index]
            needed = [shape for shape in SHAPES if not any(serves(other, shape) for other in rest)]
            assert needed, f"{index.name} is superfluous"


def test_list_without_its_index_is_not_served() -> None:
    shape = ListShape(frozenset({"domain_id", "title"}), SHAPES[0].sort)
    assert not any(serves(index, shape) for index in INDEXES)


def test_each_index_has_a_reason_and_is_unique() -> None:
    assert all(index.reason for index in INDEXES)
    keys = [(index.collection, index.keys) for index in INDEXES]
    assert len(set(keys)) == len(keys)
    assert {index.keys for index in INDEXES if index.unique} == {(("event_id", 1),), (("webhook_id", 1),)}


def test_event_expiry_index_is_sparse() -> None:
    (retention,) = [index for index in INDEXES if index.collection == EVENT and index.sparse]
    assert retention.keys == (("expire_at", ASCENDING),)
    assert retention.expire_after == 0
