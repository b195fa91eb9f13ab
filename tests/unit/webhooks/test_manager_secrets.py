"""A webhook's secrets: encrypted in the store, masked in replies, in clear for parsers only."""

import json

import pytest

from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import Internal, InvalidArgument
from event_service.model.scope import Scope
from event_service.store.webhooks import WebhookStore
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.keys import MASK
from event_service.webhooks.manager import WebhookManager
from event_service.webhooks.plugins import Plugins
from tests.contract.mongomock_database import make_database

SCOPE = Scope("d-1", "ws-1")
OPTIONS = {"sentry_client_secret": "s-1", "pagerduty_secrets": ["p-1"], "timezone": "UTC"}
SECRET_PATHS = (
    "plugin_info.options.sentry_client_secret",
    "plugin_info.options.pagerduty_secrets",
    "plugin_info.options.pagerduty_secrets.0",
)


class Remote:
    """A plugin server that remembers the options it was asked with."""

    def __init__(self):
        self.asked = []

    async def init(self, endpoint, options):
        self.asked.append(dict(options))
        return {}

    async def verify(self, endpoint, options):
        self.asked.append(dict(options))


@pytest.fixture
def remote():
    return Remote()


@pytest.fixture
def database(monkeypatch):
    return make_database("test", monkeypatch)


@pytest.fixture
def make_manager(database, remote, tmp_path):
    pools = []

    def make(key_file="secret.key"):
        pools.append(ThreadPool(2))
        return WebhookManager(
            store=WebhookStore(database, 5000),
            threads=pools[-1],
            encryptor=Encryptor(None, tmp_path / key_file),
            plugins=Plugins({"far": "grpc://127.0.0.1:1"}, remote),
            base_url=lambda: "",
        )

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
async def manager(make_manager):
    return make_manager()


async def create(manager, plugin_id="auto", **options):
    plugin_info = {"plugin_id": plugin_id, "options": options or OPTIONS}
    return await manager.create(SCOPE, name="hook", plugin_info=plugin_info, project_id="p")


async def test_secrets_stored_encrypted(manager, database):
    await create(manager)
    (document,) = database["webhook"].find()
    stored = json.dumps(document["plugin_info"])
    assert "s-1" not in stored
    assert "p-1" not in stored
    assert document["plugin_info"]["options"]["timezone"] == "UTC"


async def test_replies_mask_secrets(manager):
    webhook, key = await create(manager)
    shown = {**OPTIONS, "sentry_client_secret": MASK, "pagerduty_secrets": MASK}
    assert manager.fields(webhook, key)["plugin_info"]["options"] == shown
    found = manager.fields(await manager.get(SCOPE, webhook.webhook_id))
    assert found["plugin_info"]["options"] == shown
    (row,) = (await manager.list(SCOPE, {}, {})).rows
    assert row["plugin_info"]["options"] == shown
    for only in ("plugin_info", "plugin_info.options", "plugin_info.options.sentry_client_secret"):
        (row,) = (await manager.list(SCOPE, {"only": [only]}, {})).rows
        assert row["plugin_info"]["options"]["sentry_client_secret"] == MASK


@pytest.mark.parametrize("key", ["plugin_info", "plugin_info.options", *SECRET_PATHS])
async def test_stat_refuses_secrets(manager, database, key):
    await create(manager)
    # As upstream stores them: not encrypted.
    database["webhook"].update_many({}, {"$set": {"plugin_info.options": OPTIONS}})
    group = {"keys": [{"k": "webhook_id", "n": "id"}], "fields": [{"k": key, "n": "o", "o": "push"}]}
    for query in (
        {"distinct": key},
        {"aggregate": [{"group": {"keys": [{"k": key, "n": "o"}], "fields": []}}]},
        {"aggregate": [{"group": group}]},
        {"aggregate": [{"project": {"fields": [{"k": key, "n": "o"}]}}]},
        {"aggregate": [{"unwind": {"path": key}}]},
        {"filter": [{"k": key, "v": "s", "o": "contain"}], "aggregate": [{"count": {"name": "n"}}]},
    ):
        with pytest.raises(InvalidArgument, match="cannot be queried"):
            await manager.stat(SCOPE, query)
    for value, number in (("UTC", 1), ("CET", 0)):
        equal = [{"k": "plugin_info.options.timezone", "v": value, "o": "eq"}]
        assert len((await manager.list(SCOPE, {"filter": equal}, {})).rows) == number


async def test_secrets_not_filterable(manager):
    await create(manager)
    for filters in (
        [{"k": "plugin_info.options.sentry_client_secret", "v": "s-1", "o": "eq"}],
        [{"k": "plugin_info.options.sentry_client_secret", "v": "^s-", "o": "regex"}],
        [{"k": "plugin_info.options.pagerduty_secrets", "v": "p-1", "o": "contain"}],
    ):
        with pytest.raises(InvalidArgument, match="may hold a secret"):
            await manager.list(SCOPE, {"filter": filters}, {})


async def test_parsers_get_decrypted_secrets(manager):
    webhook, key = await create(manager)
    for _ in range(2):
        assert (await manager.authenticate(webhook.webhook_id, key)).plugin.options == OPTIONS
    assert (await manager.get_decrypted(SCOPE, webhook.webhook_id)).plugin.options == OPTIONS


async def test_update_with_masks_keeps_secrets(manager):
    webhook, key = await create(manager)
    shown = manager.fields(webhook)["plugin_info"]["options"]
    changed = await manager.update_plugin(SCOPE, webhook.webhook_id, options={**shown, "timezone": "Asia/Seoul"})
    assert manager.fields(changed)["plugin_info"]["options"] == {**shown, "timezone": "Asia/Seoul"}
    delivered = await manager.authenticate(webhook.webhook_id, key)
    assert delivered.plugin.options == {**OPTIONS, "timezone": "Asia/Seoul"}
    await manager.update_plugin(SCOPE, webhook.webhook_id, options={"sentry_client_secret": "s-2"})
    assert (await manager.authenticate(webhook.webhook_id, key)).plugin.options == {"sentry_client_secret": "s-2"}
    with pytest.raises(InvalidArgument, match="pagerduty_secrets"):
        await manager.update_plugin(SCOPE, webhook.webhook_id, options=shown)


async def test_remote_plugin_gets_decrypted_secrets(manager, remote):
    webhook, _ = await create(manager, "far", token="t-1")
    await manager.verify_plugin(SCOPE, webhook.webhook_id)
    await manager.update_plugin(SCOPE, webhook.webhook_id, version="2")
    await manager.update_plugin(SCOPE, webhook.webhook_id, options={"token": MASK, "a": 1})
    assert remote.asked == [{"token": "t-1"}] * 3 + [{"token": "t-1", "a": 1}]


async def test_other_secret_key_fails_closed(make_manager, caplog):
    webhook, key = await create(make_manager())
    elsewhere = make_manager("another.key")
    with pytest.raises(Internal, match="set the secret again"):
        await elsewhere.authenticate(webhook.webhook_id, key)
    assert "sentry_client_secret" in caplog.text
    assert "s-1" not in caplog.text
    assert (
        elsewhere.fields(await elsewhere.get(SCOPE, webhook.webhook_id))["plugin_info"]["options"]["timezone"] == "UTC"
    )
