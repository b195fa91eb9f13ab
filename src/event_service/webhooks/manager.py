"""The service layer of webhooks: Webhook.* and the authentication of deliveries, for every transport."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from event_service.concurrency.thread_pool import RunInThread, ThreadPool
from event_service.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RequiredParameter,
    Unavailable,
    WebhookDisabled,
)
from event_service.model.activity import DeliveryOutcome
from event_service.model.scope import Scope
from event_service.model.webhook import PluginInfo, Webhook, WebhookState, access_key_hash
from event_service.query.fields import WEBHOOK_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.size import parse_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.webhooks import WebhookChanges, WebhookStore
from event_service.webhooks.cache import WebhookCache
from event_service.webhooks.delivery_stats import DeliveryStats
from event_service.webhooks.encrypted_options import decrypted, encrypted, with_kept_secrets
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.info import InfoPage, info_page, webhook_fields
from event_service.webhooks.keys import MASK, delivery_path, is_key_of, new_access_key
from event_service.webhooks.options import CLOUD_EYE, check_options, check_tags, checked_name
from event_service.webhooks.plugins import DEFAULT, Plugins
from event_service.wire.timestamps import truncate, utc_now

T = TypeVar("T")

# Seconds. An overlap lets senders be changed over one by one; afterwards the old key must end.
LONGEST_OVERLAP = 30 * 86_400

ROTATION_ATTEMPTS = 5


class WebhookManager:
    """The service layer of webhooks.

    Args:
        base_url: returns the public URL of the HTTP server, without a trailing slash. A function, since the port may be
            known only after start.
        clock: aware UTC.
        run_in_thread: parses large queries; None = in the event loop.
    """

    def __init__(
        self,
        *,
        store: WebhookStore,
        threads: ThreadPool,
        encryptor: Encryptor,
        plugins: Plugins,
        base_url: Callable[[], str],
        clock: Callable[[], datetime] = utc_now,
        run_in_thread: RunInThread | None = None,
    ) -> None:
        self._store = store
        self._run_in_thread = run_in_thread
        self._threads = threads
        self._encryptor = encryptor
        self._plugins = plugins
        self._base_url = base_url
        self._clock = clock
        self._cache = WebhookCache(self._load)
        self._stats = DeliveryStats(lambda counts: threads.run(store.add_activity, counts), clock=clock)

    def start(self) -> None:
        """Start flushing the delivery counts, once a second."""
        self._stats.start()

    async def close(self) -> None:
        """Flush the delivery counts. Call it before the store is closed."""
        await self._stats.close()

    # --- deliveries ---------------------------------------------------------------------------------------------

    async def authenticate(self, webhook_id: str, access_key: str) -> Webhook:
        """Return the webhook that accepts deliveries with this key, at most one second old.

        Raises:
            NotFound: the webhook does not exist.
            PermissionDenied: the key is wrong, also if the webhook is disabled.
            WebhookDisabled: the key is right, but the webhook is disabled.
            Unavailable: the webhook could not be looked up.
        """
        webhook = await self.find(webhook_id)
        if not is_key_of(webhook, access_key, self._clock()):
            raise PermissionDenied
        if webhook.state is WebhookState.DISABLED:
            self.count(webhook_id, error=False)  # all other calls are counted once parsed
        return enabled(webhook)

    async def signing_keys(self, webhook_id: str) -> tuple[Webhook, tuple[str, ...]]:
        """Return a webhook, even a disabled one, and its valid signing keys in clear, newest first.

        Raises:
            NotFound: the webhook does not exist.
            PermissionDenied: its senders do not sign.
            Internal: the keys were encrypted under another secret key.
        """
        webhook = await self.find(webhook_id)
        encrypted_keys = webhook.encrypted_keys[: webhook.valid_keys(self._clock())]
        if not encrypted_keys:
            raise PermissionDenied
        return webhook, tuple(self._encryptor.decrypt(one, webhook_id) for one in encrypted_keys)

    async def find_cloud_eye(self, scope: Scope, cloud_eye_project_id: str) -> Webhook | None:
        """Return the scope's webhook for a Cloud Eye project; of several the oldest enabled one."""
        return await self._threads.run_for(scope.domain_id, self._store.find_cloud_eye, scope, cloud_eye_project_id)

    def count(self, webhook_id: str, *, error: bool) -> None:
        """Count one authenticated call; `error` if its payload could not be parsed."""
        self._stats.count(webhook_id, error=error)

    def record(self, webhook_id: str, outcome: DeliveryOutcome) -> None:
        """Record the outcome of a delivery."""
        self._stats.record(webhook_id, outcome)

    # --- Webhook.* ----------------------------------------------------------------------------------------------

    async def create(
        self,
        scope: Scope,
        *,
        name: str,
        plugin_info: Mapping[str, Any] | None,
        project_id: str,
        tags: Mapping[str, Any] | None = None,
    ) -> tuple[Webhook, str]:
        """Create a webhook in the scope's workspace.

        Args:
            plugin_info: plugin_id (default `auto`), version, options, upgrade_mode.

        Returns:
            The webhook, its secrets encrypted, and its access key in clear, which cannot be read again.

        Raises:
            RequiredParameter: name, plugin_info or project_id is missing, checked in this order; or the scope has no
                workspace.
            InvalidArgument, TooLarge: an unknown parser, an invalid option or tag.
            PluginVerifyFailed: the remote plugin does not respond.
            PermissionDenied: a project outside the scope.
            AlreadyExists: the name is taken.
        """
        name = checked_name(name)
        if plugin_info is None:
            raise RequiredParameter("plugin_info")
        if not project_id:
            raise RequiredParameter("project_id")
        if project_id == "*":
            raise InvalidArgument.at("project_id", "must be one project, since a webhook belongs to one")
        if scope.workspace_id is None:
            raise RequiredParameter("x_workspace_id")
        if scope.projects is not None and project_id not in scope.projects:
            raise PermissionDenied
        check_tags(tags or {})
        keyless = Webhook(
            webhook_id=f"webhook-{secrets.token_hex(6)}",
            name=name,
            domain_id=scope.domain_id,
            workspace_id=scope.workspace_id,
            project_id=project_id,
            plugin=await self._plugin(plugin_info),
            created_at=truncate(self._clock()),
            tags=dict(tags or {}),
            is_ours=True,
        )
        # Encryption binds secrets to the webhook_id, so it follows the creation of the id.
        keyless.plugin.options = encrypted(keyless.plugin.options, self._encryptor, keyless.webhook_id)
        webhook, access_key = self._with_new_key(keyless)
        await self._threads.run_for(scope.domain_id, self._store.insert, webhook)
        return webhook, access_key

    async def get(self, scope: Scope, webhook_id: str) -> Webhook:
        """Return a webhook with encrypted secrets, including the counts that this process has not written yet.

        Raises:
            RequiredParameter: webhook_id is missing.
            NotFound: not found in this scope.
        """
        _require_id(webhook_id)
        await self._stats.try_flush()
        webhook = _found(await self._threads.run_for(scope.domain_id, self._store.find, scope, webhook_id), webhook_id)
        return self._counted(webhook)

    async def get_decrypted(self, scope: Scope, webhook_id: str) -> Webhook:
        """Return the same with secrets in clear, for parsers. Never put it into a reply.

        Raises:
            RequiredParameter, NotFound: as `get`.
            Internal: a secret was encrypted under another secret key.
        """
        return self._decrypted(await self.get(scope, webhook_id))

    async def list(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], access_key: str = ""
    ) -> InfoPage:
        """Return matching webhooks as fields of WebhookInfo, with masked keys.

        Args:
            query: see `query/list_query.py` for the language and its errors.
            equals: the request's other fields: webhook_id, name, state, workspace_id, project_id.
            access_key: only webhooks with this key, compared by digest; "" for all.
        """
        parsed = await parse_query(self._run_in_thread, parse_list_query, query, equals, WEBHOOK_FIELDS, self._clock())
        await self._stats.try_flush()
        page = await self._threads.run_for(scope.domain_id, self._store.list, scope, parsed, access_key)
        for webhook in page.webhooks:
            self._counted(webhook)
        return info_page(page, self._base_url())

    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
        """Return aggregated values as JSON; see `query/stat_query.py` for the language and its errors."""
        return await self.encoded_stat(scope, query, lambda reply: reply)

    async def encoded_stat(self, scope: Scope, query: Mapping[str, Any], encode: Callable[[dict[str, Any]], T]) -> T:
        """Return the reply of `stat`, encoded in the thread that read it."""
        parsed = await parse_query(self._run_in_thread, parse_stat_query, query, WEBHOOK_FIELDS, self._clock())
        await self._stats.try_flush()
        return await self._threads.run_for(scope.domain_id, lambda: encode(self._store.stat(scope, parsed)))

    async def update(
        self, scope: Scope, webhook_id: str, *, name: str = "", tags: Mapping[str, Any] | None = None
    ) -> Webhook:
        """Change the name ("" keeps it) and replace all tags (None keeps them).

        Raises:
            RequiredParameter, NotFound: as `get`.
            InvalidArgument, TooLarge: an invalid name or tag.
            AlreadyExists: the name is taken.
        """
        _require_id(webhook_id)
        if tags is not None:
            check_tags(tags)
        changes = WebhookChanges(name=checked_name(name) if name else None, tags=None if tags is None else dict(tags))
        return await self._change(scope, webhook_id, changes)

    async def update_plugin(
        self,
        scope: Scope,
        webhook_id: str,
        *,
        version: str = "",
        options: Mapping[str, Any] | None = None,
        upgrade_mode: str = "",
    ) -> Webhook:
        """Change the plugin's settings. "" and None keep the present value; options are replaced as a whole.

        Raises:
            RequiredParameter, NotFound: as `get`.
            InvalidArgument, TooLarge: an invalid option.
            PluginVerifyFailed: the remote plugin does not respond.
        """
        webhook = await self.get_decrypted(scope, webhook_id)
        merged = webhook.plugin.options
        if options is not None:
            merged = with_kept_secrets(options, webhook.plugin.options)
            check_options(webhook.plugin.plugin_id, merged)
            self._plugins.check(webhook.plugin.plugin_id, merged)
        metadata = await self._plugins.init(webhook.plugin.plugin_id, merged)
        changes = WebhookChanges(
            version=version or None,
            options=None if options is None else encrypted(merged, self._encryptor, webhook_id),
            metadata=metadata,
            upgrade_mode=upgrade_mode or None,
        )
        return await self._change(scope, webhook_id, changes)

    async def verify_plugin(self, scope: Scope, webhook_id: str) -> None:
        """Check that the webhook's parser exists and accepts its options.

        Raises:
            RequiredParameter, NotFound: as `get`.
            PluginVerifyFailed: it does not.
        """
        webhook = await self.get_decrypted(scope, webhook_id)
        await self._plugins.verify(webhook.plugin.plugin_id, webhook.plugin.options)

    async def enable(self, scope: Scope, webhook_id: str) -> Webhook:
        """Accept deliveries again, at every replica within one second."""
        _require_id(webhook_id)
        return await self._change(scope, webhook_id, WebhookChanges(state=WebhookState.ENABLED))

    async def disable(self, scope: Scope, webhook_id: str) -> Webhook:
        """Refuse deliveries, at every replica within one second."""
        _require_id(webhook_id)
        return await self._change(scope, webhook_id, WebhookChanges(state=WebhookState.DISABLED))

    async def delete(self, scope: Scope, webhook_id: str) -> None:
        """Delete the webhook, but not its events."""
        _require_id(webhook_id)
        deleted = await self._threads.run_for(scope.domain_id, self._store.delete, scope, webhook_id)
        self._cache.invalidate(webhook_id)  # even if nothing was deleted: another replica may have been first
        if not deleted:
            raise NotFound("webhook_id", webhook_id)

    async def rotate_key(self, scope: Scope, webhook_id: str, overlap: float = 0.0) -> tuple[Webhook, str]:
        """Create a new access key. The present key stays valid for `overlap` seconds, older ones end.

        Returns:
            The webhook and its new access key in clear, which cannot be read again.

        Raises:
            RequiredParameter, NotFound: as `get`.
            InvalidArgument: an overlap of more than 30 days.
            Unavailable: concurrent rotations won several times in a row.
        """
        if not 0 <= overlap <= LONGEST_OVERLAP:
            raise InvalidArgument.at("overlap_seconds", f"must be between 0 and {LONGEST_OVERLAP}")
        for _ in range(ROTATION_ATTEMPTS):
            before = await self.get(scope, webhook_id)
            after, access_key = self._with_new_key(before, overlap)
            # Compare-and-set: after a concurrent rotation, rotate its key.
            changed = await self._threads.run_for(scope.domain_id, self._store.replace_keys, scope, before, after)
            self._cache.invalidate(webhook_id)
            if changed is not None:
                return changed, access_key
        raise Unavailable("The webhook's key is being rotated concurrently; send again.")

    def fields(self, webhook: Webhook, access_key: str = MASK) -> dict[str, Any]:
        """Return the fields of WebhookInfo with secrets masked, and the key too unless it is given."""
        return webhook_fields(webhook, self._base_url(), access_key)

    def url(self, webhook_id: str, access_key: str = MASK) -> str:
        """Return the URL that senders post to."""
        return self._base_url() + delivery_path(webhook_id, access_key)

    async def _load(self, webhook_id: str) -> Webhook | None:
        webhook = await self._threads.run(self._store.find_for_delivery, webhook_id)
        return None if webhook is None else self._decrypted(webhook)

    def _counted(self, webhook: Webhook) -> Webhook:
        """Add the counts not written yet: a failed flush must not fail a read."""
        counts = self._stats.pending(webhook.webhook_id)
        webhook.requests_total += counts.calls
        webhook.requests_error += counts.faulty_calls
        webhook.activity.add(counts.activity)
        return webhook

    def _decrypted(self, webhook: Webhook) -> Webhook:
        webhook.plugin.options = decrypted(webhook.plugin.options, self._encryptor, webhook.webhook_id)
        return webhook

    async def find(self, webhook_id: str) -> Webhook:
        """Return a webhook of any domain, at most one second old, for internal use.

        Raises:
            NotFound: the webhook does not exist.
        """
        webhook = await self._cache.get(webhook_id)
        if webhook is None:
            raise NotFound("webhook_id", webhook_id)
        return webhook

    async def _change(self, scope: Scope, webhook_id: str, changes: WebhookChanges) -> Webhook:
        await self._stats.try_flush()
        changed = await self._threads.run_for(scope.domain_id, self._store.update, scope, webhook_id, changes)
        self._cache.invalidate(webhook_id)
        return self._counted(_found(changed, webhook_id))

    async def _plugin(self, info: Mapping[str, Any]) -> PluginInfo:
        plugin_id = str(info.get("plugin_id") or DEFAULT)
        options = dict(info.get("options") or {})
        check_options(plugin_id, options)
        self._plugins.check(plugin_id, options)
        return PluginInfo(
            plugin_id=plugin_id,
            version=str(info.get("version") or ""),
            options=options,
            metadata=await self._plugins.init(plugin_id, options),
            upgrade_mode=str(info.get("upgrade_mode") or "AUTO"),
        )

    def _with_new_key(self, webhook: Webhook, overlap: float = 0.0) -> tuple[Webhook, str]:
        """Put a new key before the present one, which stays valid for `overlap` seconds, and drop others."""
        access_key = new_access_key()
        kept = 1 if overlap else 0
        hashes = [access_key_hash(access_key), *webhook.key_hashes[:kept]]
        encrypted_keys: list[bytes] = []
        if webhook.plugin.plugin_id == CLOUD_EYE:
            encrypted_keys = [self._encryptor.encrypt(access_key, webhook.webhook_id), *webhook.encrypted_keys[:kept]]
        until = truncate(self._clock()) + timedelta(seconds=overlap) if len(hashes) > 1 else None
        renewed = replace(webhook, key_hashes=hashes, encrypted_keys=encrypted_keys, previous_key_expires_at=until)
        return renewed, access_key


def enabled(webhook: Webhook) -> Webhook:
    """Return the webhook if it is enabled.

    Raises:
        WebhookDisabled: it is disabled.
    """
    if webhook.state is WebhookState.DISABLED:
        raise WebhookDisabled(webhook.webhook_id)
    return webhook


def _require_id(webhook_id: str) -> None:
    if not webhook_id:
        raise RequiredParameter("webhook_id")


def _found(webhook: Webhook | None, webhook_id: str) -> Webhook:
    if webhook is None:
        raise NotFound("webhook_id", webhook_id)
    return webhook
