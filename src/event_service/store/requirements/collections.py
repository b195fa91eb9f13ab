"""Check the collections that are there: whether they take what the service writes.

Source: MongoDB manual, "listCollections" and "listIndexes".
"""

from collections.abc import Iterable, Mapping
from typing import Any

from event_service.store import health_check, indexes, schema
from event_service.store.client import Database
from event_service.store.driver_errors import database_errors
from event_service.store.requirements.faults import UnsuitableDatabase

COLLECTIONS = (
    indexes.EVENT,
    indexes.ALERT,
    indexes.CONDITION,
    indexes.IDEMPOTENCY_KEY,
    indexes.WEBHOOK,
    indexes.ROLLUP,
    schema.COLLECTION,
    health_check.COLLECTION,
)
"""Every collection the service writes to."""

_UNIQUE = {indexes.EVENT: ("event_id",), indexes.ALERT: ("alert_id",), indexes.WEBHOOK: ("webhook_id", "name")}
"""Fields beside `_id` whose values the service never gives twice, or reports as taken.

Upstream makes no others unique today. Its first versions made event_key so, and such an index may still be there.
"""

_ADVICE = "name another database in EVENT_SERVICE_DATABASE"


def check_collections(database: Database) -> None:
    """Look at what is there under the service's names. Nothing is written.

    Raises:
        UnsuitableDatabase: a collection does not take what the service writes.
        Unavailable: the database does not answer.
    """
    with database_errors():
        for found in database.list_collections(filter={"name": {"$in": list(COLLECTIONS)}}):
            check_collection(database.name, found)
            for index in database[found["name"]].list_indexes():
                check_index(database.name, found["name"], index)


def check_collection(database: str, found: Mapping[str, Any]) -> None:
    """
    Args:
        found: what `listCollections` says of it.

    Raises:
        UnsuitableDatabase: it is a view, of time series or capped, or has a validator or a collation.
    """
    name = f"{database}.{found['name']}"
    options: Mapping[str, Any] = found.get("options") or {}
    if found.get("type") == "view":
        raise UnsuitableDatabase(f"{name} is a view, which takes no writes", f"rename it, or {_ADVICE}")
    if found.get("type") == "timeseries":
        raise UnsuitableDatabase(f"{name} is a time series collection", f"rename it, or {_ADVICE}")
    if options.get("capped"):
        raise UnsuitableDatabase(
            f"{name} is a capped collection, which forgets documents when it is full", f"rename it, or {_ADVICE}"
        )
    if options.get("validator") and _enforced(options):
        raise UnsuitableDatabase(
            f"{name} has a validator, which may refuse what the service stores",
            f"remove it with db.runCommand({{collMod: '{found['name']}', validator: {{}}}}), or {_ADVICE}",
        )
    if options.get("collation"):
        raise UnsuitableDatabase(
            f"{name} compares strings by the collation {options['collation'].get('locale', '?')!r}, "
            "so that different ids may count as equal",
            f"rename it, or {_ADVICE}",
        )


def _enforced(options: Mapping[str, Any]) -> bool:
    action, level = options.get("validationAction", "error"), options.get("validationLevel", "strict")
    return bool(action != "warn" and level != "off")


def check_index(database: str, collection: str, index: Mapping[str, Any]) -> None:
    """
    Args:
        index: what `listIndexes` says of it.

    Raises:
        UnsuitableDatabase: it is unique, of fields whose values may be equal in many documents.
    """
    if not index.get("unique") or _never_equal(collection, index["key"]):
        return
    fields = ", ".join(index["key"])
    raise UnsuitableDatabase(
        f"the unique index {index['name']!r} of {database}.{collection} refuses documents with the same {fields}",
        f"drop it with db.{collection}.dropIndex('{index['name']}'), or {_ADVICE}",
    )


def _never_equal(collection: str, fields: Iterable[str]) -> bool:
    return bool({"_id", *_UNIQUE.get(collection, ())} & set(fields))
