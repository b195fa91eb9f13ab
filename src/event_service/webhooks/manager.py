"""What Webhook.* does, and who a delivery is for, whichever door a call comes through."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from event_service.concurrency.thread_pool import ThreadRunner
from event_service.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RequiredParameter,
    Unavailable,
    WebhookDisabled,
)
from event_service.model.activity import Ending
from event_service.model.scope import Scope
from event_service.model.webhook import PluginInfo, Webhook, WebhookState, access_key_hash
from event_service.query.fields import WEBHOOK_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.webhooks import WebhookChanges
from event_service.webhooks.cache import WebhookCache
from event_service.webhooks.delivery_stats import DeliveryStats
from event_service.webhooks.encrypted_options import decrypted, encrypted, with_kept_secrets
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.info import InfoPage, info_page, webhook_fields
from event_service.webhooks.keys import MASK, delivery_path, is_key_of, new_access_key
from event_service.webhooks.options import CLOUD_EYE, check_options, check_tags, checked_name
from event_service.webhooks.plugins import DEFAULT, Plugins
from event_service.webhooks.ports import Store
from event_service.wire.timestamps import truncate, utc_now

# Seconds. Keys overlap while senders are changed over, not for ever.
LONGEST_OVERLAP = 30 * 86_400

ROTATION_ATTEMPTS = 5


class WebhookManager:
    """The service layer of webhooks.

    Args:
        base_url: under which senders reach the HTTP server, without a slash at its end. Asked at each use, since the
            port may be known only after start.
        admit: raises Overloaded where a delivery of this webhook is too much.
        clock: aware UTC.
    """

    def __init__(
        self,
        *,
        store: Store,
        threads: ThreadRunner,
        encryptor: Encryptor,
        plugins: Plugins,
        base_url: Callable[[], str],
        admit: Callable[[str], None] = lambda _: None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._threads = threads
        self._encryptor = encryptor
        self._plugins = plugins
        self._base_url = base_url
        self._admit = admit
        self._clock = clock
        self._cache = WebhookCache(self._load)
        self._counters = DeliveryStats(lambda counts: threads.run(store.add_activity, counts), clock=clock)

    def start(self) -> None:
        """Begins to write the counters, once a second."""
        self._counters.start()

    async def close(self) -> None:
        """Writes what is counted and not yet written. Before the store is closed."""
        await self._counters.close()

    # --- deliveries ---------------------------------------------------------------------------------------------

    async def authenticate(self, webhook_id: str, access_key: str) -> Webhook:
        """The webhook that somebody with this key may deliver to, as it was less than a second ago.

        Raises:
            NotFound: no such webhook.
            PermissionDenied: another key, also where the webhook is disabled.
            WebhookDisabled: the right key of a disabled webhook.
            Overloaded, Unavailable: nobody could store what it delivers now.
        """
        webhook = await self.find(webhook_id)
        if not is_key_of(webhook, access_key, self._clock()):
            raise PermissionDenied
        if webhook.state is WebhookState.DISABLED:
            self.count(webhook_id, error=False)  # its sender has proved who it is; all other calls count once read
        enabled(webhook)
        self._admit(webhook_id)
        return webhook

    async def signing_keys(self, webhook_id: str) -> tuple[Webhook, tuple[str, ...]]:
        """A webhook whose senders sign, be it disabled, and its keys in clear that hold now, newest first.

        Raises:
            NotFound: no such webhook.
            PermissionDenied: its key does not sign.
            Internal: the keys were encrypted under another secret key.
        """
        webhook = await self.find(webhook_id)
        encrypted_keys = webhook.encrypted_keys[: webhook.valid_keys(self._clock())]
        if not encrypted_keys:
            raise PermissionDenied
        return webhook, tuple(self._encryptor.decrypt(one, webhook_id) for one in encrypted_keys)

    async def find_cloud_eye(self, scope: Scope, cloud_eye_project_id: str) -> Webhook | None:
        """The webhook of the scope that takes the events of a Cloud Eye project: of several the oldest enabled one."""
        return await self._threads.run(self._store.find_cloud_eye, scope, cloud_eye_project_id)

    def count(self, webhook_id: str, *, error: bool) -> None:
        """Takes note of one authenticated call; `error`: its payload could not be parsed."""
        self._counters.count(webhook_id, error=error)

    def record(self, webhook_id: str, ending: Ending) -> None:
        """Takes note of how a delivery ended."""
        self._counters.record(webhook_id, ending)

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
        """Makes a webhook in the scope's workspace.

        Args:
            plugin_info: plugin_id (none: `auto`), version, options, upgrade_mode.

        Returns:
            The webhook, its secrets encrypted, and its access key in clear: nobody will see it again.

        Raises:
            RequiredParameter: name, plugin_info, project_id, in this order; or the scope has no workspace.
            InvalidArgument, TooLarge: an unknown parser, an option or label that cannot be kept.
            PluginVerifyFailed: the remote plugin does not answer.
            PermissionDenied: a project outside the scope.
            AlreadyExists: the name is taken.
        """
        name = checked_name(name)
        if plugin_info is None:
            raise RequiredParameter("plugin_info")
        if not project_id:
            raise RequiredParameter("project_id")
        if project_id == "*":
            raise InvalidArgument.at("project_id", "names every project; a webhook belongs to one")
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
        keyless.plugin.options = encrypted(keyless.plugin.options, self._encryptor, keyless.webhook_id)
        webhook, access_key = self._with_new_key(keyless)
        await self._threads.run(self._store.insert, webhook)
        return webhook, access_key

    async def get(self, scope: Scope, webhook_id: str) -> Webhook:
        """One webhook, its secrets encrypted, its counters up to date as far as this process knows.

        Raises:
            RequiredParameter: no webhook_id.
            NotFound: missing, or somebody else's.
        """
        _demand(webhook_id)
        await self._counters.settle()
        webhook = _found(await self._threads.run(self._store.find, scope, webhook_id), webhook_id)
        return self._counted(webhook)

    async def get_decrypted(self, scope: Scope, webhook_id: str) -> Webhook:
        """The same with its secrets in clear, as parsers need them. For nobody's eyes.

        Raises:
            RequiredParameter, NotFound: as `get`.
            Internal: a secret was encrypted under another secret key.
        """
        return self._decrypted(await self.get(scope, webhook_id))

    async def list(
        self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str], access_key: str = ""
    ) -> InfoPage:
        """Webhooks that match, as fields of WebhookInfo with masked keys.

        Args:
            query: see `query/list_query.py` for the language and its errors.
            equals: the request's other fields: webhook_id, name, state, workspace_id, project_id.
            access_key: only webhooks of which this is a key, compared by digest; "" = any.
        """
        parsed = parse_list_query(query, equals, WEBHOOK_FIELDS)
        await self._counters.settle()
        page = await self._threads.run(self._store.list, scope, parsed, access_key)
        for webhook in page.webhooks:
            self._counted(webhook)
        return info_page(page, self._base_url())

    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
        """Aggregated values, as the reply's JSON; see `query/stat_query.py` for the language and its errors."""
        parsed = parse_stat_query(query, WEBHOOK_FIELDS)
        await self._counters.settle()
        return await self._threads.run(self._store.stat, scope, parsed)

    async def update(
        self, scope: Scope, webhook_id: str, *, name: str = "", tags: Mapping[str, Any] | None = None
    ) -> Webhook:
        """Changes the name ("": stays) and the labels (None: stay; else all of them).

        Raises:
            RequiredParameter, NotFound: as `get`.
            InvalidArgument, TooLarge: a name or label that cannot be kept.
            AlreadyExists: the name is taken.
        """
        _demand(webhook_id)
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
        """Changes how payloads are read. "" and None stay; options are replaced as a whole.

        Raises:
            RequiredParameter, NotFound: as `get`.
            InvalidArgument, TooLarge: an option that cannot be kept.
            PluginVerifyFailed: the remote plugin does not answer.
        """
        webhook = await self.get_decrypted(scope, webhook_id)
        kept = webhook.plugin.options
        if options is not None:
            kept = with_kept_secrets(options, webhook.plugin.options)
            check_options(webhook.plugin.plugin_id, kept)
            self._plugins.check(webhook.plugin.plugin_id, kept)
        metadata = await self._plugins.init(webhook.plugin.plugin_id, kept)
        changes = WebhookChanges(
            version=version or None,
            options=None if options is None else encrypted(kept, self._encryptor, webhook_id),
            metadata=metadata,
            upgrade_mode=upgrade_mode or None,
        )
        return await self._change(scope, webhook_id, changes)

    async def verify_plugin(self, scope: Scope, webhook_id: str) -> None:
        """Asks whether the webhook's parser is there and accepts its options.

        Raises:
            RequiredParameter, NotFound: as `get`.
            PluginVerifyFailed: it is not, or does not.
        """
        webhook = await self.get_decrypted(scope, webhook_id)
        await self._plugins.verify(webhook.plugin.plugin_id, webhook.plugin.options)

    async def enable(self, scope: Scope, webhook_id: str) -> Webhook:
        """Lets deliveries in again, at every replica within one second."""
        _demand(webhook_id)
        return await self._change(scope, webhook_id, WebhookChanges(state=WebhookState.ENABLED))

    async def disable(self, scope: Scope, webhook_id: str) -> Webhook:
        """Refuses deliveries, at every replica within one second."""
        _demand(webhook_id)
        return await self._change(scope, webhook_id, WebhookChanges(state=WebhookState.DISABLED))

    async def delete(self, scope: Scope, webhook_id: str) -> None:
        """Removes the webhook. Its events stay."""
        _demand(webhook_id)
        deleted = await self._threads.run(self._store.delete, scope, webhook_id)
        self._cache.forget(webhook_id)
        if not deleted:
            raise NotFound("webhook_id", webhook_id)

    async def rotate_key(self, scope: Scope, webhook_id: str, overlap: float = 0.0) -> tuple[Webhook, str]:
        """Gives the webhook a new key. The newest key until now holds for another `overlap` seconds, others end.

        Returns:
            The webhook, and its new access key in clear: nobody will see it again.

        Raises:
            RequiredParameter, NotFound: as `get`.
            InvalidArgument: an overlap of more than 30 days.
        """
        if not 0 <= overlap <= LONGEST_OVERLAP:
            raise InvalidArgument.at("overlap_seconds", f"must be between 0 and {LONGEST_OVERLAP}")
        for _ in range(ROTATION_ATTEMPTS):
            before = await self.get(scope, webhook_id)
            after, access_key = self._with_new_key(before, overlap)
            # Somebody else may be rotating, too: whoever comes second rotates the first one's key.
            changed = await self._threads.run(self._store.replace_keys, scope, before, after)
            self._cache.forget(webhook_id)
            if changed is not None:
                return changed, access_key
        raise Unavailable("The webhook's key is being rotated by others; send again.")

    def fields(self, webhook: Webhook, access_key: str = MASK) -> dict[str, Any]:
        """The webhook as fields of WebhookInfo, its secrets masked; its key too unless it is given."""
        return webhook_fields(webhook, self._base_url(), access_key)

    def url(self, webhook_id: str, access_key: str = MASK) -> str:
        """Where senders deliver to."""
        return self._base_url() + delivery_path(webhook_id, access_key)

    async def _load(self, webhook_id: str) -> Webhook | None:
        webhook = await self._threads.run(self._store.find_for_delivery, webhook_id)
        return None if webhook is None else self._decrypted(webhook)

    def _counted(self, webhook: Webhook) -> Webhook:
        """Add what could not be written of its counts. They never keep a webhook from being shown."""
        counts = self._counters.pending(webhook.webhook_id)
        webhook.requests_total += counts.calls
        webhook.requests_error += counts.faulty_calls
        webhook.activity.add(counts.activity)
        return webhook

    def _decrypted(self, webhook: Webhook) -> Webhook:
        webhook.plugin.options = decrypted(webhook.plugin.options, self._encryptor, webhook.webhook_id)
        return webhook

    async def find(self, webhook_id: str) -> Webhook:
        """A webhook of whatever domain, for the service's own use, as it was less than a second ago.

        Raises:
            NotFound: no such webhook.
        """
        webhook = await self._cache.get(webhook_id)
        if webhook is None:
            raise NotFound("webhook_id", webhook_id)
        return webhook

    async def _change(self, scope: Scope, webhook_id: str, changes: WebhookChanges) -> Webhook:
        await self._counters.settle()
        changed = await self._threads.run(self._store.update, scope, webhook_id, changes)
        self._cache.forget(webhook_id)
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
        """The webhook with a new key before the present one, which stays for `overlap` seconds; others end."""
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
    """The webhook, if it takes deliveries.

    Raises:
        WebhookDisabled: it does not.
    """
    if webhook.state is WebhookState.DISABLED:
        raise WebhookDisabled(webhook.webhook_id)
    return webhook


def _demand(webhook_id: str) -> None:
    if not webhook_id:
        raise RequiredParameter("webhook_id")


def _found(webhook: Webhook | None, webhook_id: str) -> Webhook:
    if webhook is None:
        raise NotFound("webhook_id", webhook_id)
    return webhook
