"""Checks that existing collections accept the service's writes.

Source: MongoDB manual, "listCollections" and "listIndexes".
"""

from collections.abc import Iterable, Mapping
from typing import Any

from event_service.store import health_check, indexes, lease, schema
from event_service.store.client import Database
from event_service.store.driver_errors import database_errors
from event_service.store.requirements.faults import UnsuitableDatabase

COLLECTIONS = (
    indexes.EVENT,
    indexes.ALERT,
    indexes.ALERT_COUNTER,
    indexes.CONDITION,
    indexes.IDEMPOTENCY_KEY,
    indexes.WEBHOOK,
    indexes.ROLLUP,
    schema.COLLECTION,
    health_check.COLLECTION,
    lease.COLLECTION,
)
"""Every collection the service writes to."""

_UNIQUE = {indexes.EVENT: ("event_id",), indexes.ALERT: ("alert_id",), indexes.WEBHOOK: ("webhook_id", "name")}
"""Fields beside `_id` that are unique anyway, or whose duplicates are reported as ALREADY_EXISTS.

Upstream has no other unique indexes today. Its first versions had one on event_key, which may still exist.
"""

_ADVICE = "name another database in EVENT_SERVICE_DATABASE"


def check_collections(database: Database) -> None:
    """Check the existing collections under the service's names. Nothing is written.

    Raises:
        UnsuitableDatabase: a collection would refuse writes.
        Unavailable: the database does not answer.
    """
    with database_errors():
        for found in database.list_collections(filter={"name": {"$in": list(COLLECTIONS)}}):
            check_collection(database.name, found)
            for index in database[found["name"]].list_indexes():
                check_index(database.name, found["name"], index)


def check_collection(database: str, found: Mapping[str, Any]) -> None:
    """Check one collection.

    Args:
        found: its entry in the reply of `listCollections`.

    Raises:
        UnsuitableDatabase: it is a view, a time series or a capped collection, or has a validator or a collation.
    """
    name = f"{database}.{found['name']}"
    options: Mapping[str, Any] = found.get("options") or {}
    if found.get("type") == "view":
        raise UnsuitableDatabase(f"{name} is a view, which accepts no writes", f"rename it, or {_ADVICE}")
    if found.get("type") == "timeseries":
        raise UnsuitableDatabase(f"{name} is a time series collection", f"rename it, or {_ADVICE}")
    if options.get("capped"):
        raise UnsuitableDatabase(
            f"{name} is a capped collection, which deletes documents when it is full", f"rename it, or {_ADVICE}"
        )
    if options.get("validator") and _enforced(options):
        raise UnsuitableDatabase(
            f"{name} has a validator, which may refuse what the service stores",
            f"remove it with db.runCommand({{collMod: '{found['name']}', validator: {{}}}}), or {_ADVICE}",
        )
    if options.get("collation"):
        raise UnsuitableDatabase(
            f"{name} compares strings by the collation {options['collation'].get('locale', '?')!r}, "
            "by which different ids may be equal",
            f"rename it, or {_ADVICE}",
        )


def _enforced(options: Mapping[str, Any]) -> bool:
    action, level = options.get("validationAction", "error"), options.get("validationLevel", "strict")
    return bool(action != "warn" and level != "off")


def check_index(database: str, collection: str, index: Mapping[str, Any]) -> None:
    """Check one index.

    Args:
        index: its entry in the reply of `listIndexes`.

    Raises:
        UnsuitableDatabase: it is unique on fields with equal values in many documents.
    """
    if not index.get("unique") or _is_unique_anyway(collection, index["key"]):
        return
    fields = ", ".join(index["key"])
    raise UnsuitableDatabase(
        f"the unique index {index['name']!r} of {database}.{collection} refuses documents with the same {fields}",
        f"drop it with db.{collection}.dropIndex('{index['name']}'), or {_ADVICE}",
    )


def _is_unique_anyway(collection: str, fields: Iterable[str]) -> bool:
    return bool({"_id", *_UNIQUE.get(collection, ())} & set(fields))
