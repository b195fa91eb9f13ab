"""The `webhook` collection: upstream's field names, and digests instead of upstream's access keys in clear.

An upstream document holds the key in `access_key` and as a part of `webhook_url`. Both are replaced by a digest when
the webhook is first used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import ReadPreference, ReturnDocument, UpdateOne
from pymongo.errors import DuplicateKeyError

from event_service.errors import AlreadyExists
from event_service.model.activity import DeliveryCounts
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook, WebhookState, access_key_hash
from event_service.query.list_query import ListQuery
from event_service.query.stat_query import StatQuery
from event_service.store.client import Database, Document
from event_service.store.compile import compile_scope
from event_service.store.documents import escape_keys
from event_service.store.driver_errors import database_errors
from event_service.store.reply_limit import DEFAULT_LIMIT, ReplyLimit
from event_service.store.webhook_documents import CLEAR_KEYS, activity_update, key_fields, webhook_document, webhook_of
from event_service.store.webhook_reader import WebhookPage, WebhookReader
from event_service.wire.timestamps import Clock, utc_now

COLLECTION = "webhook"


@dataclass(slots=True)
class WebhookChanges:
    """Fields to change; None leaves a field as it is, an empty object replaces it."""

    name: str | None = None
    tags: dict[str, Any] | None = None
    state: WebhookState | None = None
    version: str | None = None
    options: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    upgrade_mode: str | None = None


class WebhookStore:
    """Reads and writes webhooks. Methods that serve a caller take the caller's scope first.

    Blocking: for worker threads. All methods raise Unavailable and the other errors of `store/driver_errors.py`.

    Args:
        timeout_ms: maxTimeMS of a query.
    """

    def __init__(
        self, database: Database, timeout_ms: int, *, limit: ReplyLimit = DEFAULT_LIMIT, clock: Clock = utc_now
    ) -> None:
        # Never from secondaries, even if the URI says so: a disabled webhook must be refused within a second.
        self._rows = database.get_collection(COLLECTION, read_preference=ReadPreference.PRIMARY)
        self._timeout_ms = timeout_ms
        self._reader = WebhookReader(self._rows, limit=limit, max_time_ms=timeout_ms, clock=clock)

    def list(self, scope: Scope, query: ListQuery, access_key: str = "") -> WebhookPage:
        """Return a page of webhooks. See `WebhookReader.list`."""
        return self._reader.list(scope, query, access_key)

    def stat(self, scope: Scope, query: StatQuery) -> dict[str, Any]:
        """Return the reply to a statistics query, as JSON. See `StatReader.stat`."""
        return self._reader.stat(scope, query)

    def insert(self, webhook: Webhook) -> None:
        """Store a new webhook.

        Raises:
            AlreadyExists: its id or, in a database with a unique index on names, its name exists.
        """
        with database_errors(writing=True):
            try:
                self._rows.insert_one(webhook_document(webhook))
            except DuplicateKeyError as error:
                raise _taken(webhook.name) from error

    def find(self, scope: Scope, webhook_id: str) -> Webhook | None:
        """Return the webhook, or None if the scope has no such webhook."""
        with database_errors():
            row = self._rows.find_one(_within(scope, webhook_id), max_time_ms=self._timeout_ms)
        return None if row is None else webhook_of(row)

    def find_cloud_eye(self, scope: Scope, cloud_eye_project_id: str) -> Webhook | None:
        """Return the Cloud Eye webhook of a Cloud Eye project, or None.

        It has the project as its option project_id or, without that option, as its own project_id. Of several, returns
        an enabled one if possible, then the oldest.
        """
        by_option = {"plugin_info.options.project_id": {"$eq": cloud_eye_project_id}}
        by_project = {"plugin_info.options.project_id": None, "project_id": {"$eq": cloud_eye_project_id}}
        matching = {
            "$and": [compile_scope(scope), {"plugin_info.plugin_id": "cloud-eye", "$or": [by_option, by_project]}]
        }
        order = [("state", -1), ("created_at", 1), ("_id", 1)]  # descending, ENABLED comes before DISABLED
        with database_errors():
            row = self._rows.find_one(matching, sort=order, max_time_ms=self._timeout_ms)
        return None if row is None else webhook_of(row)

    def update(self, scope: Scope, webhook_id: str, changes: WebhookChanges) -> Webhook | None:
        """Change a webhook. Return it after the change, or None if the scope has no such webhook.

        Raises:
            AlreadyExists: the name exists, in a database with a unique index on names.
        """
        values = _changed(changes)
        if not values:
            return self.find(scope, webhook_id)
        with database_errors(writing=True):
            try:
                row = self._rows.find_one_and_update(
                    _within(scope, webhook_id), {"$set": values}, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError as error:
                raise _taken(changes.name or "") from error
        return None if row is None else webhook_of(row)

    def delete(self, scope: Scope, webhook_id: str) -> bool:
        """Delete a webhook but not its events. Return False if the scope has no such webhook."""
        with database_errors(writing=True):
            return self._rows.delete_one(_within(scope, webhook_id)).deleted_count == 1

    def replace_keys(self, scope: Scope, before: Webhook, after: Webhook) -> Webhook | None:
        """Replace the keys of `before` by those of `after`, by compare-and-set.

        Returns:
            The changed webhook, or None if it was deleted or its keys are no longer those of `before`.
        """
        with database_errors(writing=True):
            row = self._rows.find_one_and_update(
                {**_within(scope, before.webhook_id), **_holds_keys(before)},
                {"$set": key_fields(after), "$unset": dict.fromkeys(CLEAR_KEYS, "")},
                return_document=ReturnDocument.AFTER,
            )
        return None if row is None else webhook_of(row)

    def find_for_delivery(self, webhook_id: str) -> Webhook | None:
        """Return the webhook of a delivery, or None. Without a scope: the access key is the credential.

        Replaces the access key in clear of an upstream document by its digest.
        """
        with database_errors():
            row = self._rows.find_one({"webhook_id": {"$eq": webhook_id}}, max_time_ms=self._timeout_ms)
        if row is None:
            return None
        if any(row.get(name) for name in CLEAR_KEYS):  # an upstream document at its first use
            self._hash_key(row)
        return webhook_of(row)

    def hash_clear_keys(self) -> int:
        """Replace all access keys in clear by digests. Return the number of changed webhooks."""
        with database_errors():
            rows = [*self._rows.find({"$or": [{name: {"$exists": True}} for name in CLEAR_KEYS]})]
        for row in rows:
            self._hash_key(row)
        return len(rows)

    def add_activity(self, counts: Mapping[str, DeliveryCounts]) -> None:
        """Add delivery counts to several webhooks in one bulk write. Deleted webhooks are skipped.

        Args:
            counts: webhook_id -> counts to add.
        """
        writes = [
            UpdateOne({"webhook_id": webhook_id}, activity_update(counts)) for webhook_id, counts in counts.items()
        ]
        if writes:
            with database_errors(writing=True):
                self._rows.bulk_write(writes, ordered=False)

    def _hash_key(self, row: Document) -> None:
        # Compare-and-set: a rotation since the read must not be undone.
        matching = {"_id": row["_id"], "access_key": row.get("access_key")}
        changes: dict[str, Any] = {"$unset": dict.fromkeys(CLEAR_KEYS, "")}
        if row.get("access_key") and not row.get("access_key_hashes"):
            changes["$set"] = {"access_key_hashes": [access_key_hash(str(row["access_key"]))]}
        with database_errors(writing=True):
            self._rows.update_one(matching, changes)


def _holds_keys(webhook: Webhook) -> Document:
    # An upstream document has no digests until its first use, and nothing else changes its key.
    hashes = list(webhook.key_hashes)
    return {"$or": [{"access_key_hashes": {"$eq": hashes}}, {"access_key_hashes": {"$exists": False}}]}


def _changed(changes: WebhookChanges) -> Document:
    values: Document = {}
    if changes.name is not None:
        values["name"] = changes.name
    if changes.state is not None:
        values["state"] = changes.state.value
    if changes.tags is not None:
        values["tags"] = escape_keys(changes.tags)
    for field in ("version", "upgrade_mode"):
        if (text := getattr(changes, field)) is not None:
            values[f"plugin_info.{field}"] = text
    for field in ("options", "metadata"):
        if (content := getattr(changes, field)) is not None:
            values[f"plugin_info.{field}"] = escape_keys(content)
    return values


def _within(scope: Scope, webhook_id: str) -> Document:
    return {**compile_scope(scope), "webhook_id": {"$eq": webhook_id}}


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"The project has a webhook of this name. (name = {name})")
