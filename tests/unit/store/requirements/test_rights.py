"""Missing privilege actions, by the reply to `connectionStatus`."""

from typing import Any

import pytest

from event_service.store.requirements.rights import TO_MAINTAIN, missing

# Of the built-in role readWrite, as MongoDB 6.0.5 lists them.
READ = ["changeStream", "collStats", "dbHash", "dbStats", "find", "killCursors", "listCollections", "listIndexes"]
READ_WRITE = [
    *READ, "convertToCapped", "createCollection", "createIndex", "dropCollection", "dropIndex", "insert", "remove",
    "renameCollectionSameDB", "update",
]  # fmt: skip


def privilege(actions: list[str], **resource: Any) -> dict[str, Any]:
    return {"resource": resource, "actions": actions}


def lacking(*privileges: dict[str, Any]) -> list[str]:
    return missing(privileges, "monitoring", ["event", "alert"], TO_MAINTAIN)


@pytest.mark.parametrize(
    "resource",
    [
        {"db": "monitoring", "collection": ""},
        {"db": "", "collection": ""},
        {"anyResource": True},
    ],
)
def test_read_write_is_enough(resource: dict[str, Any]) -> None:
    assert lacking(privilege(READ_WRITE, **resource)) == []


@pytest.mark.parametrize(
    "resource",
    [
        {"db": "other", "collection": ""},
        {"cluster": True},
        {"db": "monitoring", "collection": "event"},
        {"db": "monitoring", "collection": "system.js"},
    ],
)
def test_rights_elsewhere_do_not_count(resource: dict[str, Any]) -> None:
    assert lacking(privilege(READ_WRITE, **resource)) == list(TO_MAINTAIN)


def test_no_role_lacks_everything_and_read_lacks_the_writes() -> None:
    assert lacking() == list(TO_MAINTAIN)
    read_only = lacking(privilege(READ, db="monitoring", collection=""))
    assert read_only == [action for action in TO_MAINTAIN if action not in READ]


def test_rights_on_each_collection_add_up() -> None:
    each = [privilege(READ_WRITE, db="monitoring", collection=name) for name in ("event", "alert")]
    assert lacking(*each) == ["listCollections"]
    assert lacking(*each, privilege(["listCollections"], db="monitoring", collection="")) == []
