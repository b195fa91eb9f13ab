"""Indexes and shard keys as data, and their creation.

Every index costs time on every insert, so each states its purpose. Indexes of lists follow the
equality-sort-range rule: first the compared fields, then the sort, so that a page is read without sorting. A test
checks that for every documented list.
"""

import dataclasses
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError, OperationFailure

from event_service.concurrency.background_task import BackgroundTask, Stopping
from event_service.errors import EventServiceError
from event_service.store import schema
from event_service.store.alert_documents import RATE_MINUTE, RATE_REPORT_DUE_AT
from event_service.store.client import Database
from event_service.store.documents import EXPIRE_AT
from event_service.store.driver_errors import database_errors

log = logging.getLogger(__name__)

EVENT, ALERT, CONDITION, IDEMPOTENCY_KEY, WEBHOOK = "event", "alert", "condition", "idempotency_key", "webhook"
ROLLUP = "event_rollup"
ALERT_COUNTER = "alert_counter"

LARGE = 50_000
"""Indexes of a collection with more documents are built in the background, while the service starts."""

_CONFLICTS = frozenset({85, 86})  # IndexOptionsConflict, IndexKeySpecsConflict


@dataclass(frozen=True, slots=True)
class Index:
    """One index.

    Attributes:
        keys: (field, 1 or -1).
        reason: its purpose.
        sparse: holds only documents that have the field; the others cost nothing.
        expire_after: seconds after the time in the field when documents expire; None for no TTL index.
    """

    collection: str
    keys: tuple[tuple[str, int], ...]
    reason: str
    unique: bool = False
    sparse: bool = False
    expire_after: int | None = None

    @property
    def name(self) -> str:
        return "_".join(f"{field}_{direction}" for field, direction in self.keys)

    @property
    def model(self) -> IndexModel:
        options: dict[str, Any] = {"name": self.name}
        if self.unique:
            options["unique"] = True
        if self.sparse:
            options["sparse"] = True
        if self.expire_after is not None:
            options["expireAfterSeconds"] = self.expire_after
        return IndexModel(list(self.keys), **options)


def _ascending(*fields: str) -> tuple[tuple[str, int], ...]:
    return tuple((field, ASCENDING) for field in fields)


_NEWEST_FIRST = (("created_at", DESCENDING), ("_id", DESCENDING))

# Fields with few values come after the sort: a page that filters on one of them skips index entries, not documents.
# Separate indexes for each field and scope would be six more.
_FEW_VALUES = _ascending("severity", "event_type", "provider")

_INDEXES = (
    Index(EVENT, _ascending("event_id"), "get; unique event_ids", unique=True),
    Index(ALERT, _ascending("alert_id"), "get; resolution of alerts of upstream events"),
    Index(ALERT, _ascending("domain_id", "workspace_id", "alert_number"), "an alert by its number; the highest number"),
    Index(
        ALERT, (*_ascending("state", "domain_id"), *_NEWEST_FIRST), "lists of open alerts; open alerts of all domains"
    ),
    Index(ALERT, (*_ascending("domain_id"), *_NEWEST_FIRST), "lists of alerts"),
    Index(ALERT, _ascending("domain_id", "updated_at", "_id"), "changed alerts, for Watch"),
    Index(ALERT, _ascending(RATE_MINUTE), "alerts that an alert rate limit counts", sparse=True),
    Index(ALERT, _ascending(RATE_REPORT_DUE_AT), "alert rate reports that are due", sparse=True),
    Index(ROLLUP, _ascending("domain_id", "level", "begin"), "buckets of a time"),
    Index(ROLLUP, _ascending("domain_id", "changed_at"), "buckets changed by other replicas"),
    Index(ROLLUP, _ascending("domain_id", "due_at"), "buckets to recount"),
    Index(WEBHOOK, _ascending("webhook_id"), "deliveries; unique webhook_ids", unique=True),
    # Sparse: events without expiry cost nothing.
    Index(EVENT, _ascending(EXPIRE_AT), "expiry of events", sparse=True, expire_after=0),
    Index(IDEMPOTENCY_KEY, _ascending(EXPIRE_AT), "expiry of idempotency keys", expire_after=0),
    Index(EVENT, (*_ascending("domain_id"), *_NEWEST_FIRST, *_FEW_VALUES), "lists of a domain"),
    Index(EVENT, (*_ascending("domain_id", "workspace_id"), *_NEWEST_FIRST, *_FEW_VALUES), "lists of a workspace"),
    Index(EVENT, (*_ascending("project_id"), *_NEWEST_FIRST, *_FEW_VALUES), "lists of projects, by filter or scope"),
    Index(
        EVENT,
        (*_ascending("domain_id"), ("occurred_at", DESCENDING), *_ascending("_id", "workspace_id", "project_id")),
        "lists of any scope by occurred_at, newest first",
    ),
    Index(EVENT, (*_ascending("webhook_id"), *_NEWEST_FIRST), "lists of a webhook"),
    Index(EVENT, (*_ascending("alert_id"), *_NEWEST_FIRST), "the events of an alert"),
    Index(
        EVENT,
        (*_ascending("event_key", "domain_id"), *_NEWEST_FIRST),
        "lists of an event_key; upstream events of a new event_key",
    ),
    Index(EVENT, (*_ascending("account", "domain_id"), *_NEWEST_FIRST), "lists of a cloud account"),
    Index(EVENT, (*_ascending("resources", "domain_id"), *_NEWEST_FIRST), "lists of a resource"),
    Index(WEBHOOK, (*_ascending("domain_id", "workspace_id"), *_NEWEST_FIRST), "lists of webhooks"),
)


@dataclass(frozen=True, slots=True)
class ShardKey:
    """The shard key of a collection.

    Attributes:
        keys: (field, 1 or "hashed").
        reason: its purpose.
    """

    collection: str
    keys: tuple[tuple[str, int | str], ...]
    reason: str


SHARD_KEYS = (
    ShardKey(EVENT, (("domain_id", 1), ("created_at", 1)), "lists are of one domain, newest first"),
    # Always read by `_id`; on a cluster `_id` is unique only as the shard key.
    ShardKey(ALERT, (("_id", "hashed"),), "opened and resolved by `_id`"),
    ShardKey(CONDITION, (("_id", "hashed"),), "compare-and-set by `_id`"),
    ShardKey(IDEMPOTENCY_KEY, (("_id", "hashed"),), "unique idempotency keys"),
)
"""The other collections are small and not sharded."""


def _on_shards(index: Index) -> Index:
    """Return the index for a sharded cluster.

    A unique index must begin with the shard key there, so event_ids are not unique: see docs/operations.md. The index
    for lists of a domain becomes ascending, so that it begins with the shard key; lists read it backwards.
    """
    if index.collection != EVENT:
        return index
    if index.unique:
        return dataclasses.replace(index, unique=False)
    if index.keys[:2] == (("domain_id", ASCENDING), ("created_at", DESCENDING)):
        return dataclasses.replace(index, keys=_ascending(*(field for field, _ in index.keys)))
    return index


def wanted(*, sharded: bool = False) -> list[Index]:
    """Return the indexes of all collections.

    Args:
        sharded: whether `store/maintenance/sharding.py` has sharded the collections.
    """
    return [_on_shards(index) for index in _INDEXES] if sharded else list(_INDEXES)


@dataclass(frozen=True, slots=True)
class Difference:
    """Differences between the indexes of a database and those that the service needs.

    Attributes:
        missing: do not exist.
        changed: exist with another expireAfterSeconds.
        not_unique: exist and should be unique, but are not; left alone.
        superfluous: (collection, name) of other indexes; left alone.
    """

    missing: tuple[Index, ...] = ()
    changed: tuple[Index, ...] = ()
    not_unique: tuple[Index, ...] = ()
    superfluous: tuple[tuple[str, str], ...] = ()


def diff(database: Database, indexes: Sequence[Index]) -> Difference:
    """Compare indexes by their keys, since an upstream database names them differently.

    Raises:
        Unavailable: the database does not answer.
    """
    missing, changed, not_unique = [], [], []
    superfluous: list[tuple[str, str]] = []
    for collection in dict.fromkeys(index.collection for index in indexes):
        existing = _existing(database, collection)
        own = [index for index in indexes if index.collection == collection]
        for index in own:
            found = existing.get(index.keys)
            if found is None:
                missing.append(index)
            elif found.get("expireAfterSeconds") != index.expire_after:
                changed.append(index)
            elif index.unique and not found.get("unique"):
                not_unique.append(index)
        known = {index.keys for index in own} | {_ascending("_id")}
        superfluous += [(collection, str(found["name"])) for keys, found in existing.items() if keys not in known]
    return Difference(tuple(missing), tuple(changed), tuple(not_unique), tuple(superfluous))


def ensure(database: Database) -> BackgroundTask | None:
    """Create what is missing: schema version, collections, indexes. Idempotent; safe on several replicas.

    Removes no index of another program. Indexes of large collections are built in the background.

    Returns:
        The task that builds indexes, or None.

    Raises:
        SchemaError: a later version of this service has written the database.
        Unavailable: the database does not answer.
    """
    schema.ensure(database)
    difference = diff(database, wanted(sharded=schema.is_sharded(database)))
    for index in difference.not_unique:
        log.warning("an index of another program is not unique, but should be", extra=_described(index))
    later: list[Index] = []
    for index in (*difference.changed, *difference.missing):
        with database_errors(writing=True):
            large = database[index.collection].estimated_document_count() > LARGE
        if large:
            later.append(index)
        else:
            _create(database, index, replace=index in difference.changed)
    return build_in_background(database, later, replaced=difference.changed) if later else None


def build_in_background(
    database: Database, indexes: Sequence[Index], *, replaced: Sequence[Index] = ()
) -> BackgroundTask:
    """Start building indexes in the background, one after the other, with retries.

    Args:
        replaced: those of them that exist and are dropped first.
    """
    left = list(indexes)

    def build(stopping: Stopping) -> None:
        while left and not stopping():
            index = left[0]
            log.warning("building an index on a large collection; lists may be slow meanwhile", extra=_described(index))
            started = time.monotonic()
            # A retry of createIndexes joins the build that is in progress on the server.
            _create(database, index, replace=index in replaced)
            log.info("built an index", extra={**_described(index), "seconds": time.monotonic() - started})
            del left[0]

    return BackgroundTask("index-builder", build)


def _create(database: Database, index: Index, *, replace: bool) -> None:
    """Create one index. If it conflicts with an existing one, log that: slow queries are better than no start."""
    collection = database[index.collection]
    try:
        with database_errors(writing=True):
            try:
                if replace and (found := _existing(database, index.collection).get(index.keys)):
                    collection.drop_index(found["name"])
                collection.create_indexes([index.model])
            except DuplicateKeyError:
                log.warning("duplicate values exist; created a non-unique index", extra=_described(index))
                collection.create_indexes([dataclasses.replace(index, unique=False).model])
    except EventServiceError as error:
        cause = error.__cause__
        if not isinstance(cause, OperationFailure) or cause.code not in _CONFLICTS:
            raise
        log.warning("an index conflicts with an existing one", extra={**_described(index), "reason": str(cause)})


def _existing(database: Database, collection: str) -> dict[tuple[tuple[str, int], ...], Mapping[str, Any]]:
    """Return the existing indexes by their keys; none for a collection that does not exist."""
    with database_errors():
        found: Iterable[Mapping[str, Any]] = database[collection].list_indexes()
        return {_keys_of(index["key"]): index for index in found}


def _keys_of(key: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> tuple[tuple[str, int], ...]:
    pairs = key.items() if isinstance(key, Mapping) else key
    # Drivers store 1 as 1, 1.0 or Int64(1); hashed and text indexes have a string.
    return tuple((field, direction if isinstance(direction, str) else int(direction)) for field, direction in pairs)  # type: ignore[misc]


def _described(index: Index) -> dict[str, Any]:
    return {"collection": index.collection, "index": index.name, "purpose": index.reason}
