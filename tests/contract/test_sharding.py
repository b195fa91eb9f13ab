"""The admin commands that `db init --sharded` sends, and only to a mongos.

A fake mongos replies: no cluster runs in the tests, as docs/operations.md says.
"""

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from pymongo.errors import OperationFailure

from event_service.store import indexes, schema
from event_service.store.client import Database, DatabaseSettingsError
from event_service.store.maintenance import sharding
from event_service.store.maintenance.inspection import inspect
from tests.contract.conftest import MONGODB_URI
from tests.unit.store.shapes import documented_shapes
from tests.unit.store.test_indexes import serves

SHARDED = indexes.wanted(sharded=True)


class Router:
    """Fake mongos: handles admin commands and passes the others to a database."""

    def __init__(self, database: Database) -> None:
        self.sent: list[dict[str, Any]] = []
        self.refusal: OperationFailure | None = None
        self._command = type(database.client.admin).command

    def command(self, admin: Any, command: Any, *arguments: Any, **options: Any) -> Any:
        if command == "hello":
            return {"ok": 1.0, "msg": "isdbgrid"}
        if command == "buildInfo":
            return {"ok": 1.0, "version": "8.0.0"}
        if not isinstance(command, dict) or not {"enableSharding", "shardCollection"} & set(command):
            return self._command(admin, command, *arguments, **options)
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(command)
        if "shardCollection" in command:
            row = {"_id": command["shardCollection"], "key": command["key"]}
            admin.client["config"]["collections"].replace_one({"_id": row["_id"]}, row, upsert=True)
        return {"ok": 1.0}


def _through(router: Router) -> Callable[..., Any]:
    """Return a function, which is bound to the database that it is called on."""

    def command(admin: Any, *arguments: Any, **options: Any) -> Any:
        return router.command(admin, *arguments, **options)

    return command


@pytest.fixture
def router(database: Database, database_kind: str) -> Iterator[Router]:
    if database_kind == "mongodb":
        pytest.skip("a mongod that is no router")
    router = Router(database)
    with mock.patch.object(type(database.client.admin), "command", _through(router)):
        yield router
    database.client.drop_database("config")


def test_each_collection_is_sharded_once(database: Database, router: Router) -> None:
    done = sharding.init(database)
    assert done == sharding.Sharded(("event", "alert", "condition", "idempotency_key"), (), ())
    assert router.sent == [
        {"enableSharding": database.name},
        {"shardCollection": f"{database.name}.event", "key": {"domain_id": 1, "created_at": 1}},
        {"shardCollection": f"{database.name}.alert", "key": {"_id": "hashed"}},
        {"shardCollection": f"{database.name}.condition", "key": {"_id": "hashed"}},
        {"shardCollection": f"{database.name}.idempotency_key", "key": {"_id": "hashed"}},
    ]
    assert list(router.sent[1]["key"]) == ["domain_id", "created_at"]
    router.sent.clear()
    assert sharding.init(database).there == ("event", "alert", "condition", "idempotency_key")
    assert router.sent == [{"enableSharding": database.name}]


def test_collection_with_another_shard_key_stays(database: Database, router: Router) -> None:
    database.client["config"]["collections"].insert_one({"_id": f"{database.name}.event", "key": {"_id": "hashed"}})
    database.client["config"]["collections"].insert_one({"_id": f"x{database.name}.alert", "key": {"x": 1}})
    assert sharding.init(database) == sharding.Sharded(("alert", "condition", "idempotency_key"), (), ("event",))


def test_existing_database_gets_the_indexes_of_a_cluster(database: Database, router: Router) -> None:
    indexes.ensure(database)
    sharding.init(database)
    assert schema.is_sharded(database)
    difference = indexes.diff(database, SHARDED)
    assert not difference.missing
    assert not [one for one in database["event"].list_indexes() if one.get("unique")]
    # A service that starts afterwards does not take that back.
    indexes.ensure(database)
    assert not [one for one in database["event"].list_indexes() if one.get("unique")]
    assert next(one for one in inspect(database, 5000) if one.what == "indexes").verdict == "ok"


def test_refused_command_is_one_line(database: Database, router: Router) -> None:
    router.refusal = OperationFailure("no", 13, {"errmsg": "not authorized on admin"})
    with pytest.raises(DatabaseSettingsError, match=r"refuses enableSharding test_\w+: not authorized on admin"):
        sharding.init(database)


def test_replica_set_is_refused_unchanged(database: Database, database_kind: str) -> None:
    if database_kind == "mongomock":
        pytest.skip("mongomock knows no `hello`")
    with pytest.raises(DatabaseSettingsError, match="the server is not a mongos"):
        sharding.init(database)
    assert schema.stored_version(database) is None
    assert not MONGODB_URI or not database.list_collection_names()


def test_unique_indexes_begin_with_the_shard_key() -> None:
    keys = {key.collection: key.keys for key in indexes.SHARD_KEYS}
    for index in SHARDED:
        if index.unique and index.collection in keys:
            assert index.keys[: len(keys[index.collection])] == keys[index.collection]
    assert any(index.keys[:2] == keys[indexes.EVENT] for index in SHARDED)


def test_documented_lists_have_an_index_on_a_cluster() -> None:
    # Nothing is promised where a unique index would have answered: one by event_id is found by the plain one.
    for shape in documented_shapes():
        if "event_id" not in shape.equal:
            assert [index.name for index in SHARDED if serves(index, shape)], shape
