"""Shards the collections on a MongoDB cluster: `event-service db init --sharded`.

Run once by a user who may administer the cluster; services need no such rights. Stores that the database is sharded,
so that services create the indexes for sharded collections. Idempotent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pymongo.errors import OperationFailure

from event_service.errors import EventServiceError
from event_service.store import indexes, schema
from event_service.store.client import Database, DatabaseSettingsError
from event_service.store.driver_errors import database_errors
from event_service.store.indexes import SHARD_KEYS, ShardKey

Command: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sharded:
    """Collections by outcome.

    Attributes:
        done: sharded now.
        there: sharded before.
        otherwise: sharded before by another key; left alone.
    """

    done: tuple[str, ...]
    there: tuple[str, ...]
    otherwise: tuple[str, ...]


def check_router(database: Database) -> None:
    """Check that the server is a mongos.

    Raises:
        DatabaseSettingsError: it is not.
        Unavailable: the database does not answer.
    """
    with database_errors():
        hello = database.client.admin.command("hello")
    if hello.get("msg") != "isdbgrid":
        raise DatabaseSettingsError(
            "the server is not a mongos: for --sharded, EVENT_SERVICE_MONGODB_URI must name the mongos of a sharded "
            "cluster"
        )


def commands(database_name: str, keys: Sequence[ShardKey] = SHARD_KEYS) -> list[Command]:
    """Return the admin commands that shard a database, in order, as `sh.enableSharding` and `sh.shardCollection` do.

    Source: MongoDB, "enableSharding" and "shardCollection".
    """
    return [
        {"enableSharding": database_name},
        *({"shardCollection": f"{database_name}.{key.collection}", "key": dict(key.keys)} for key in keys),
    ]


def init(database: Database) -> Sharded:
    """Create the collections with the indexes of a sharded database, and shard them.

    Raises:
        DatabaseSettingsError: the server is not a mongos, or the user may not administer it.
        Unavailable: the database failed. Run it again.
    """
    check_router(database)
    schema.ensure(database)
    # First, so that a service that starts meanwhile does not recreate the unique index.
    schema.note_sharded(database)
    _drop_unique_event_ids(database)
    building = indexes.ensure(database)
    while building is not None and not building.wait(1.0):
        pass
    present = _present_keys(database)
    first, *others = commands(database.name)
    _send(database, first)
    done: list[str] = []
    there: list[str] = []
    otherwise: list[str] = []
    for key, command in zip(SHARD_KEYS, others, strict=True):
        found = present.get(key.collection)
        if found is None:
            _send(database, command)
            done.append(key.collection)
        else:
            (there if found == key.keys else otherwise).append(key.collection)
    return Sharded(tuple(done), tuple(there), tuple(otherwise))


def _drop_unique_event_ids(database: Database) -> None:
    # MongoDB shards no collection with a unique index that does not begin with the shard key.
    with database_errors(writing=True):
        for index in list(database[indexes.EVENT].list_indexes()):
            if index.get("unique") and dict(index["key"]) == {"event_id": 1}:
                database[indexes.EVENT].drop_index(index["name"])


def _present_keys(database: Database) -> dict[str, tuple[tuple[str, int | str], ...]]:
    """Return the shard keys of this database's sharded collections."""
    with database_errors():
        rows = database.client["config"]["collections"].find({"_id": {"$regex": f"^{_escaped(database.name)}\\."}})
        return {
            row["_id"].partition(".")[2]: tuple(
                (field, kind if isinstance(kind, str) else int(kind)) for field, kind in row["key"].items()
            )
            for row in rows
            if not row.get("dropped") and not row.get("unsplittable")
        }


def _escaped(name: str) -> str:
    return "".join(character if character.isalnum() or character in "_-" else f"\\{character}" for character in name)


def _send(database: Database, command: Command) -> None:
    try:
        with database_errors(writing=True):
            database.client.admin.command(command)
    except EventServiceError as error:
        refusal = error.__cause__
        if not isinstance(refusal, OperationFailure):
            raise
        name, target = next(iter(command.items()))
        reason = (refusal.details or {}).get("errmsg", "")
        raise DatabaseSettingsError(f"the cluster refuses {name} {target}: {reason}") from error
