"""Spreads the collections over the shards of a MongoDB cluster: `event-service db init --sharded`.

Done once, by an operator whose user may administer the cluster; services need no such rights. The database notes that
it is sharded, and from then on it is given the indexes of a sharded one. May be run again.
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
    """What was done.

    Attributes:
        done: collections that were spread now.
        there: those that had been before.
        otherwise: those that somebody has spread by another key; left alone.
    """

    done: tuple[str, ...]
    there: tuple[str, ...]
    otherwise: tuple[str, ...]


def demand_router(database: Database) -> None:
    """
    Raises:
        DatabaseSettingsError: the server is no mongos.
        Unavailable: the database does not answer.
    """
    with database_errors():
        hello = database.client.admin.command("hello")
    if hello.get("msg") != "isdbgrid":
        raise DatabaseSettingsError(
            "the server is no mongos, so there are no shards: --sharded is for EVENT_SERVICE_MONGODB_URI with the "
            "routers of a sharded cluster"
        )


def commands(database_name: str, keys: Sequence[ShardKey] = SHARD_KEYS) -> list[Command]:
    """The admin commands that spread a database, in order; `sh.enableSharding` and `sh.shardCollection` send the same.

    Source: MongoDB, "enableSharding" and "shardCollection".
    """
    return [
        {"enableSharding": database_name},
        *({"shardCollection": f"{database_name}.{key.collection}", "key": dict(key.keys)} for key in keys),
    ]


def init(database: Database) -> Sharded:
    """Makes the collections with the indexes of a sharded database, and spreads them.

    Raises:
        DatabaseSettingsError: the server is no mongos, or its user may not do that.
        Unavailable: the database failed. Run it again.
    """
    demand_router(database)
    schema.ensure(database)
    # First, lest a service that starts meanwhile makes the index anew that is taken away here.
    schema.note_sharded(database)
    _give_up_unique_ids(database)
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


def _give_up_unique_ids(database: Database) -> None:
    """MongoDB spreads no collection that has a unique index without the shard key in front."""
    with database_errors(writing=True):
        for index in list(database[indexes.EVENT].list_indexes()):
            if index.get("unique") and dict(index["key"]) == {"event_id": 1}:
                database[indexes.EVENT].drop_index(index["name"])


def _present_keys(database: Database) -> dict[str, tuple[tuple[str, int | str], ...]]:
    """The shard keys of this database's collections that are spread already, by collection."""
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
