"""Collections and indexes that are refused, by their entries in the server's replies."""

from typing import Any

import pytest

from event_service.store import indexes
from event_service.store.requirements.collections import COLLECTIONS, check_collection, check_index
from event_service.store.requirements.faults import UnsuitableDatabase


def collection(kind: str = "collection", **options: Any) -> dict[str, Any]:
    return {"name": "event", "type": kind, "options": options, "info": {"readOnly": False}}


@pytest.mark.parametrize(
    "found",
    [
        collection(),
        collection(validator={}),
        collection(validator={"a": 1}, validationAction="warn"),
        collection(validator={"a": 1}, validationLevel="off"),
    ],
)
def test_ordinary_collection_passes(found: dict[str, Any]) -> None:
    check_collection("monitoring", found)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (collection("view", viewOn="x", pipeline=[]), "monitoring.event is a view"),
        (collection("timeseries", timeseries={"timeField": "t"}), "monitoring.event is a time series collection"),
        (collection(capped=True, size=4096), "monitoring.event is a capped collection"),
        (collection(validator={"$jsonSchema": {}}), "monitoring.event has a validator"),
        (collection(collation={"locale": "de", "strength": 1}), "compares strings by the collation 'de'"),
    ],
)
def test_collection_of_another_kind_is_refused(found: dict[str, Any], text: str) -> None:
    with pytest.raises(UnsuitableDatabase) as caught:
        check_collection("monitoring", found)
    assert text in caught.value.problem
    assert "EVENT_SERVICE_DATABASE" in caught.value.advice


def test_own_indexes_pass() -> None:
    for index in indexes.wanted():
        assert index.collection in COLLECTIONS
        check_index(
            "monitoring", index.collection, {"name": index.name, "key": dict(index.keys), "unique": index.unique}
        )


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("event", ["event_id", "domain_id"]),
        ("alert", ["alert_id"]),
        ("webhook", ["project_id", "workspace_id", "domain_id", "name"]),
    ],
)
def test_unique_index_on_unique_fields_passes(name: str, fields: list[str]) -> None:
    check_index("monitoring", name, {"name": "own", "key": dict.fromkeys(fields, 1), "unique": True})


@pytest.mark.parametrize("name", COLLECTIONS)
def test_other_unique_index_is_refused(name: str) -> None:
    index = {"name": "theirs", "key": {"event_key": 1, "domain_id": -1}, "unique": True}
    with pytest.raises(UnsuitableDatabase) as caught:
        check_index("monitoring", name, index)
    assert caught.value.problem == (
        f"the unique index 'theirs' of monitoring.{name} refuses documents with the same event_key, domain_id"
    )
    assert f"db.{name}.dropIndex('theirs')" in caught.value.advice
    check_index("monitoring", name, {**index, "unique": False})
