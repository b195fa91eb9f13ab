"""Indexes as data, and what brings a database into line with them.

Every index costs on every insert, so each says what it is for.
Lists are served by equality-sort-range: the fields that are compared, then the order, so that a page is read from the
index and nothing is sorted. A test holds every documented list against this.
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
from event_service.store.client import Database
from event_service.store.documents import EXPIRE_AT
from event_service.store.driver_errors import database_errors

log = logging.getLogger(__name__)

EVENT, ALERT, CONDITION, IDEMPOTENCY_KEY, WEBHOOK = "event", "alert", "condition", "idempotency_key", "webhook"
ROLLUP = "event_rollup"

LARGE = 50_000
"""A collection with more documents is indexed in the background: the service starts meanwhile."""

_CONFLICTS = frozenset({85, 86})  # IndexOptionsConflict, IndexKeySpecsConflict


@dataclass(frozen=True, slots=True)
class Index:
    """One index.

    Attributes:
        keys: (field, 1 or -1).
        reason: what it is for.
        sparse: only documents that have the field are in it, the others cost nothing.
        expire_after: documents are deleted this many seconds after the time in the field.
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

# Few values each, so they stand behind the order: a page for one of them reads index entries, not documents, until it
# is full. An index for each of them with each scope would be six more.
_FEW_VALUES = _ascending("severity", "event_type", "provider")

_INDEXES = (
    Index(EVENT, _ascending("event_id"), "get; and no event_id is given twice", unique=True),
    Index(ALERT, _ascending("alert_id"), "the state of an alert that an upstream event names, and its closing"),
    Index(CONDITION, _ascending("pending_since"), "resolutions that a crash has left undone", sparse=True),
    Index(ROLLUP, _ascending("domain_id"), "the counted hours of a domain"),
    Index(WEBHOOK, _ascending("webhook_id"), "every delivery; and no webhook_id is given twice", unique=True),
    # Sparse: events that are kept for ever cost nothing.
    Index(EVENT, _ascending(EXPIRE_AT), "old events go", sparse=True, expire_after=0),
    Index(IDEMPOTENCY_KEY, _ascending(EXPIRE_AT), "idempotency keys are forgotten", expire_after=0),
    Index(EVENT, (*_ascending("domain_id"), *_NEWEST_FIRST, *_FEW_VALUES), "lists of a domain"),
    Index(EVENT, (*_ascending("domain_id", "workspace_id"), *_NEWEST_FIRST, *_FEW_VALUES), "lists of a workspace"),
    Index(EVENT, (*_ascending("project_id"), *_NEWEST_FIRST, *_FEW_VALUES), "lists of projects, asked for or as scope"),
    Index(EVENT, (*_ascending("webhook_id"), *_NEWEST_FIRST), "lists of a webhook"),
    Index(EVENT, (*_ascending("alert_id"), *_NEWEST_FIRST), "the events of an alert"),
    Index(
        EVENT,
        (*_ascending("event_key", "domain_id"), *_NEWEST_FIRST),
        "the history of a key; and what an upstream database knows of a key that is new here",
    ),
    Index(EVENT, (*_ascending("account", "domain_id"), *_NEWEST_FIRST), "lists of a cloud account"),
    Index(EVENT, (*_ascending("resources", "domain_id"), *_NEWEST_FIRST), "lists of a resource"),
    Index(WEBHOOK, (*_ascending("domain_id", "workspace_id"), *_NEWEST_FIRST), "lists of webhooks"),
)


@dataclass(frozen=True, slots=True)
class ShardKey:
    """By what a collection is spread over the shards of a cluster.

    Attributes:
        keys: (field, 1 or "hashed").
        reason: why these.
    """

    collection: str
    keys: tuple[tuple[str, int | str], ...]
    reason: str


SHARD_KEYS = (
    ShardKey(EVENT, (("domain_id", 1), ("created_at", 1)), "a caller's list is of one domain, newest first"),
    # What is only ever asked for by `_id`, which on a cluster is unique only where it is the shard key.
    ShardKey(ALERT, (("_id", "hashed"),), "opened and closed by `_id`"),
    ShardKey(CONDITION, (("_id", "hashed"),), "read and compared-and-set by `_id`"),
    ShardKey(IDEMPOTENCY_KEY, (("_id", "hashed"),), "an idempotency key is taken once"),
)
"""Webhooks are few and stay where they are, and so does what says which version the database has."""


def _on_shards(index: Index) -> Index:
    """The same index on a sharded cluster.

    A unique one must have the shard key in front there, so event_ids are not watched over: see docs/operations.md. The
    lists of a domain are read backwards from an index that begins with the shard key, which needs one.
    """
    if index.collection != EVENT:
        return index
    if index.unique:
        return dataclasses.replace(index, unique=False)
    if index.keys[:2] == (("domain_id", ASCENDING), ("created_at", DESCENDING)):
        ahead = _ascending(*(field for field, _ in index.keys))
        return dataclasses.replace(index, keys=ahead)
    return index


def wanted(*, sharded: bool = False) -> list[Index]:
    """The indexes of all collections.

    Args:
        sharded: for a cluster whose collections `store/maintenance/sharding.py` has spread.
    """
    return [_on_shards(index) for index in _INDEXES] if sharded else list(_INDEXES)


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a database is not as it is wanted.

    Attributes:
        missing: to be made.
        changed: there under the same keys, but with another time after which documents go.
        not_unique: there, but it lets values be taken twice; somebody else's, left alone.
        superfluous: (collection, name) of indexes that nothing here needs; somebody else's, left alone.
    """

    missing: tuple[Index, ...] = ()
    changed: tuple[Index, ...] = ()
    not_unique: tuple[Index, ...] = ()
    superfluous: tuple[tuple[str, str], ...] = ()


def diff(database: Database, indexes: Sequence[Index]) -> Difference:
    """Compares. An index counts by its keys, whatever its name: an upstream database has names of its own.

    Raises:
        Unavailable: the database does not answer.
    """
    missing, changed, not_unique = [], [], []
    superfluous: list[tuple[str, str]] = []
    for collection in dict.fromkeys(index.collection for index in indexes):
        there = _existing(database, collection)
        own = [index for index in indexes if index.collection == collection]
        for index in own:
            found = there.get(index.keys)
            if found is None:
                missing.append(index)
            elif found.get("expireAfterSeconds") != index.expire_after:
                changed.append(index)
            elif index.unique and not found.get("unique"):
                not_unique.append(index)
        known = {index.keys for index in own} | {_ascending("_id")}
        superfluous += [(collection, str(found["name"])) for keys, found in there.items() if keys not in known]
    return Difference(tuple(missing), tuple(changed), tuple(not_unique), tuple(superfluous))


def ensure(database: Database) -> BackgroundTask | None:
    """Brings the database into line: schema version, collections, indexes. Safe to repeat, and on several replicas.

    Nothing of anybody else's is removed. What has to be indexed in a large collection is indexed in the background.

    Returns:
        What goes on in the background, if anything does.

    Raises:
        SchemaError: the database was written by a later version of this service.
        Unavailable: the database does not answer.
    """
    schema.ensure(database)
    difference = diff(database, wanted(sharded=schema.is_sharded(database)))
    for index in difference.not_unique:
        log.warning("an index lets values be taken twice and is not ours to change", extra=_described(index))
    later: list[Index] = []
    for index in (*difference.changed, *difference.missing):
        with database_errors(writing=True):
            large = database[index.collection].estimated_document_count() > LARGE
        if large:
            later.append(index)
        else:
            _make(database, index, replace=index in difference.changed)
    return build_in_background(database, later, replaced=difference.changed) if later else None


def build_in_background(
    database: Database, indexes: Sequence[Index], *, replaced: Sequence[Index] = ()
) -> BackgroundTask:
    """Has indexes built in the background, one after the other, until all are there."""
    left = list(indexes)

    def build(stopping: Stopping) -> None:
        while left and not stopping():
            index = left[0]
            log.warning("building an index on a large collection; lists may be slow meanwhile", extra=_described(index))
            started = time.monotonic()
            # Asked again while it is being built, the server lets us wait for the same build.
            _make(database, index, replace=index in replaced)
            log.info("built an index", extra={**_described(index), "seconds": time.monotonic() - started})
            del left[0]

    return BackgroundTask("index-builder", build)


def _make(database: Database, index: Index, *, replace: bool) -> None:
    """Makes one index. One that conflicts with another is left out: slower is better than not at all."""
    collection = database[index.collection]
    try:
        with database_errors(writing=True):
            try:
                if replace and (found := _existing(database, index.collection).get(index.keys)):
                    collection.drop_index(found["name"])
                collection.create_indexes([index.model])
            except DuplicateKeyError:
                log.warning("values are taken twice; made an index that allows it", extra=_described(index))
                collection.create_indexes([dataclasses.replace(index, unique=False).model])
    except EventServiceError as error:
        cause = error.__cause__
        if not isinstance(cause, OperationFailure) or cause.code not in _CONFLICTS:
            raise
        log.warning("an index conflicts with one that is there", extra={**_described(index), "reason": str(cause)})


def _existing(database: Database, collection: str) -> dict[tuple[tuple[str, int], ...], Mapping[str, Any]]:
    """Indexes that are there, by their keys. A collection that does not exist has none."""
    with database_errors():
        found: Iterable[Mapping[str, Any]] = database[collection].list_indexes()
        return {_keys_of(index["key"]): index for index in found}


def _keys_of(key: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> tuple[tuple[str, int], ...]:
    pairs = key.items() if isinstance(key, Mapping) else key
    # Drivers write 1 as 1, 1.0 or Int64(1); hashed and text indexes have words there.
    return tuple((field, direction if isinstance(direction, str) else int(direction)) for field, direction in pairs)  # type: ignore[misc]


def _described(index: Index) -> dict[str, Any]:
    return {"collection": index.collection, "index": index.name, "purpose": index.reason}
