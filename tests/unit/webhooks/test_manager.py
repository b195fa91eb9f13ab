import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from event_service.concurrency.thread_pool import ThreadPool
from event_service.errors import (
    AlreadyExists,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PluginVerifyFailed,
    RequiredParameter,
    TooLarge,
    Unavailable,
    WebhookDisabled,
)
from event_service.model.activity import DeliveryOutcome
from event_service.model.scope import Scope
from event_service.model.webhook import WebhookState, access_key_hash
from event_service.store.webhooks import WebhookStore
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.keys import MASK
from event_service.webhooks.manager import WebhookManager
from event_service.webhooks.plugins import Plugins
from tests.contract.mongomock_database import make_database

SCOPE = Scope("d-1", "ws-1")
MEMBER = Scope("d-1", "ws-1", ("project-1",))
NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Clock:
    now = NOW

    def __call__(self):
        return self.now


class Remote:
    """A plugin server."""

    def __init__(self):
        self.asked = []
        self.refusal = None
        self.metadata = {"kept": 1}

    async def init(self, endpoint, options):
        self.asked.append(("init", endpoint, dict(options)))
        if self.refusal:
            raise self.refusal
        return self.metadata

    async def verify(self, endpoint, options):
        self.asked.append(("verify", endpoint, dict(options)))
        if self.refusal:
            raise self.refusal


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def remote():
    return Remote()


@pytest.fixture
def database(monkeypatch):
    database = make_database("test", monkeypatch)
    database["webhook"].create_index("webhook_id", unique=True)
    return database


@pytest.fixture
def make_manager(database, clock, remote, tmp_path):
    pools = []

    def make(**parts):
        pools.append(ThreadPool(2))
        return WebhookManager(
            **{
                "store": WebhookStore(database, 5000),
                "threads": pools[-1],
                "encryptor": Encryptor(None, tmp_path / "secret.key"),
                "plugins": Plugins({"plugin-far": "grpc://127.0.0.1:1"}, remote),
                "base_url": lambda: "http://127.0.0.1:8080",
                "clock": clock,
                **parts,
            }
        )

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture
async def manager(make_manager):
    return make_manager()


async def create(manager, scope=SCOPE, plugin_id="native", **changes):
    arguments = {"name": "hook", "plugin_info": {"plugin_id": plugin_id}, "project_id": "project-1", **changes}
    return await manager.create(scope, **arguments)


class TestCreate:
    async def test_create_and_get(self, manager):
        webhook, key = await create(
            manager,
            name=" hook ",
            plugin_info={"plugin_id": "native", "version": "1", "options": {"auto_recovery": False}},
            tags={"a": 1},
        )
        assert re.fullmatch("webhook-[0-9a-f]{12}", webhook.webhook_id)
        assert re.fullmatch("[0-9a-f]{64}", key)
        assert (webhook.name, webhook.domain_id, webhook.workspace_id, webhook.project_id) == (
            "hook", "d-1", "ws-1", "project-1",
        )  # fmt: skip
        assert webhook.state is WebhookState.ENABLED
        assert webhook.created_at == NOW.replace(microsecond=123000)
        assert (webhook.plugin.version, webhook.plugin.options, webhook.plugin.metadata) == (
            "1", {"auto_recovery": False}, {},
        )  # fmt: skip
        assert webhook.plugin.upgrade_mode == "AUTO"
        assert webhook.tags == {"a": 1}
        assert webhook == await manager.get(SCOPE, webhook.webhook_id)
        assert webhook == await manager.authenticate(webhook.webhook_id, key)

    async def test_key_returned_only_by_create(self, manager, database):
        webhook, key = await create(manager)
        shown = manager.fields(webhook, key)
        assert shown["access_key"] == key
        assert shown["webhook_url"] == (
            f"http://127.0.0.1:8080/monitoring/v1/webhook/{webhook.webhook_id}/{key}/events"
        )
        later = manager.fields(await manager.get(SCOPE, webhook.webhook_id))
        assert later["access_key"] == MASK
        assert later["webhook_url"] == manager.url(webhook.webhook_id)
        assert MASK in later["webhook_url"]
        page = await manager.list(SCOPE, {}, {})
        for text in (repr(later), repr(page), repr(list(database["webhook"].find()))):
            assert key not in text
        assert access_key_hash(key) not in repr(page)

    @pytest.mark.parametrize(
        ("missing", "key"),
        [
            ({"name": "", "plugin_info": None, "project_id": ""}, "name"),
            ({"name": "  "}, "name"),
            ({"plugin_info": None, "project_id": ""}, "plugin_info"),
            ({"project_id": ""}, "project_id"),
        ],
    )
    async def test_required_parameters_in_upstreams_order(self, manager, missing, key):
        with pytest.raises(RequiredParameter, match=rf"\(key = {key}\)"):
            await create(manager, **missing)

    async def test_a_system_token_must_name_the_workspace(self, manager):
        with pytest.raises(RequiredParameter, match="x_workspace_id"):
            await create(manager, Scope("d-1"))

    async def test_create_outside_own_projects_denied(self, manager):
        await create(manager, MEMBER)
        for scope in (Scope("d-1", "ws-1", ()), Scope("d-1", "ws-1", ("project-2",))):
            with pytest.raises(PermissionDenied):
                await create(manager, scope)
        with pytest.raises(InvalidArgument, match="project_id"):
            await create(manager, project_id="*")

    @pytest.mark.parametrize(
        ("changes", "error", "field"),
        [
            ({"name": "x" * 256}, InvalidArgument, "name"),
            ({"plugin_id": "unheard-of"}, InvalidArgument, "plugin_info.plugin_id"),
            ({"plugin_id": "x" * 256}, InvalidArgument, "plugin_info.plugin_id"),
            (
                {"plugin_info": {"plugin_id": "native", "options": {"auto_recovery": "no"}}},
                InvalidArgument,
                "plugin_info.options.auto_recovery",
            ),
            ({"tags": {"a": float("nan")}}, InvalidArgument, "tags.a"),
            ({"tags": {"a": "x" * 70_000}}, TooLarge, None),
        ],
    )
    async def test_invalid_fields_refused(self, manager, changes, error, field):
        with pytest.raises(error) as caught:
            await create(manager, **changes)
        assert field is None or caught.value.violations[0].field == field

    async def test_unknown_parser_error_lists_known_ones(self, manager):
        with pytest.raises(InvalidArgument, match=r"alertmanager.*native.*plugin-far"):
            await create(manager, plugin_id="unheard-of")

    @pytest.mark.parametrize("plugin_id", ["native", "auto", "alertmanager", "plugin-prometheus-mon-webhook"])
    async def test_built_in_parsers_and_upstream_ids_accepted(self, manager, remote, plugin_id):
        webhook, _ = await create(manager, plugin_id=plugin_id)
        assert webhook.plugin.plugin_id == plugin_id
        assert remote.asked == []

    @pytest.mark.parametrize("plugin_info", [{}, {"plugin_id": ""}, {"options": {}}])
    async def test_default_parser_is_auto(self, manager, plugin_info):
        webhook, _ = await create(manager, plugin_info=plugin_info)
        assert webhook.plugin.plugin_id == "auto"

    @pytest.mark.parametrize(
        ("plugin_info", "endpoint"),
        [
            ({"plugin_id": "plugin-mine", "options": {"endpoint": "grpc://127.0.0.1:2"}}, "grpc://127.0.0.1:2"),
            ({"plugin_id": "plugin-far", "options": {"a": 1}}, "grpc://127.0.0.1:1"),
        ],
    )
    async def test_create_calls_remote_plugin_init(self, manager, remote, plugin_info, endpoint):
        webhook, _ = await create(manager, plugin_info=plugin_info)
        assert remote.asked == [("init", endpoint, plugin_info["options"])]
        assert webhook.plugin.metadata == {"kept": 1}

    @pytest.mark.parametrize("metadata", [{"a": float("nan")}, {"\ud83d": 1}])
    async def test_unreadable_plugin_metadata_refused(self, manager, remote, metadata):
        remote.metadata = metadata
        with pytest.raises(PluginVerifyFailed):
            await create(manager, plugin_id="plugin-far")

    async def test_unresponsive_plugin_fails_create(self, manager, remote, database):
        remote.refusal = PluginVerifyFailed("no answer")
        with pytest.raises(PluginVerifyFailed):
            await create(manager, plugin_id="plugin-far")
        assert not list(database["webhook"].find())

    async def test_duplicate_name_already_exists(self, manager, database):
        database["webhook"].create_index([("project_id", 1), ("name", 1)], unique=True)
        await create(manager)
        with pytest.raises(AlreadyExists, match="hook"):
            await create(manager)
        other, _ = await create(manager, name="other")
        with pytest.raises(AlreadyExists):
            await manager.update(SCOPE, other.webhook_id, name="hook")


class TestAuthenticate:
    async def test_authenticate_refusal_order(self, manager):
        webhook, key = await create(manager)
        with pytest.raises(NotFound, match=r"\(webhook_id = webhook-nope\)"):
            await manager.authenticate("webhook-nope", key)
        with pytest.raises(PermissionDenied):
            await manager.authenticate(webhook.webhook_id, "wrong")
        await manager.disable(SCOPE, webhook.webhook_id)
        with pytest.raises(PermissionDenied):
            await manager.authenticate(webhook.webhook_id, "wrong")
        with pytest.raises(WebhookDisabled, match=webhook.webhook_id):
            await manager.authenticate(webhook.webhook_id, key)

    async def test_authenticate_uses_cache(self, make_manager, database):
        asked = []

        class Counting(WebhookStore):
            def find_for_delivery(self, webhook_id):
                asked.append(webhook_id)
                return super().find_for_delivery(webhook_id)

        manager = make_manager(store=Counting(database, 5000))
        webhook, key = await create(manager)
        await asyncio.gather(*(manager.authenticate(webhook.webhook_id, key) for _ in range(50)))
        for _ in range(50):
            await manager.authenticate(webhook.webhook_id, key)
        assert len(asked) == 1

    async def test_changes_take_effect_immediately_in_process(self, manager):
        webhook, key = await create(manager)
        await manager.authenticate(webhook.webhook_id, key)
        await manager.disable(SCOPE, webhook.webhook_id)
        with pytest.raises(WebhookDisabled):
            await manager.authenticate(webhook.webhook_id, key)
        await manager.enable(SCOPE, webhook.webhook_id)
        await manager.authenticate(webhook.webhook_id, key)
        _, newer = await manager.rotate_key(SCOPE, webhook.webhook_id)
        with pytest.raises(PermissionDenied):
            await manager.authenticate(webhook.webhook_id, key)
        await manager.authenticate(webhook.webhook_id, newer)
        await manager.delete(SCOPE, webhook.webhook_id)
        with pytest.raises(NotFound):
            await manager.authenticate(webhook.webhook_id, newer)

    async def test_changes_take_effect_within_a_second_at_other_replicas(self, make_manager):
        here, there = make_manager(), make_manager()
        hooks = [await create(here) for _ in range(3)]
        for webhook, key in hooks:
            await there.authenticate(webhook.webhook_id, key)
        (disabled, rotated, deleted) = (webhook.webhook_id for webhook, _ in hooks)
        await here.disable(SCOPE, disabled)
        await here.rotate_key(SCOPE, rotated)
        await here.delete(SCOPE, deleted)
        await asyncio.sleep(0.95)
        for (webhook, key), refusal in zip(hooks, (WebhookDisabled, PermissionDenied, NotFound), strict=True):
            with pytest.raises(refusal):
                await there.authenticate(webhook.webhook_id, key)

    async def test_previous_key_valid_during_overlap(self, manager, clock):
        webhook, old = await create(manager)
        rotated, new = await manager.rotate_key(SCOPE, webhook.webhook_id, 60)
        assert rotated.previous_key_expires_at == NOW.replace(microsecond=123000) + timedelta(seconds=60)
        clock.now += timedelta(seconds=59)
        await manager.authenticate(webhook.webhook_id, old)
        await manager.authenticate(webhook.webhook_id, new)
        clock.now += timedelta(seconds=1)
        with pytest.raises(PermissionDenied):
            await manager.authenticate(webhook.webhook_id, old)
        await manager.authenticate(webhook.webhook_id, new)

    async def test_third_key_ends_first(self, manager):
        webhook, first = await create(manager)
        _, second = await manager.rotate_key(SCOPE, webhook.webhook_id, 3600)
        rotated, third = await manager.rotate_key(SCOPE, webhook.webhook_id, 60)
        assert len(rotated.key_hashes) == 2
        for key in (second, third):
            await manager.authenticate(webhook.webhook_id, key)
        with pytest.raises(PermissionDenied):
            await manager.authenticate(webhook.webhook_id, first)

    @pytest.mark.parametrize("overlap", [-1, 30 * 86_400 + 1, float("nan"), float("inf")])
    async def test_overlap_limit(self, manager, overlap):
        webhook, _ = await create(manager)
        with pytest.raises(InvalidArgument, match="overlap_seconds"):
            await manager.rotate_key(SCOPE, webhook.webhook_id, overlap)

    async def test_concurrent_rotations_leave_one_newest_key(self, make_manager):
        managers = [make_manager() for _ in range(3)]
        webhook, _ = await create(managers[0])
        rotated = await asyncio.gather(*(one.rotate_key(SCOPE, webhook.webhook_id, 60) for one in managers))
        final = await managers[0].get(SCOPE, webhook.webhook_id)
        known = [access_key_hash(key) for _, key in rotated]
        assert set(final.key_hashes) <= set(known)
        assert len(final.key_hashes) == 2

    async def test_rotation_gives_up_after_attempts(self, make_manager, database):
        class Beaten(WebhookStore):
            def replace_keys(self, scope, before, after):
                return None

        manager = make_manager(store=Beaten(database, 5000))
        webhook, _ = await create(manager)
        with pytest.raises(Unavailable):
            await manager.rotate_key(SCOPE, webhook.webhook_id)


class TestCloudEye:
    async def test_signing_keys_decrypted(self, manager, database):
        info = {"plugin_id": "cloud-eye", "options": {"project_id": "0a1b"}}
        webhook, key = await create(manager, plugin_info=info)
        assert await manager.signing_keys(webhook.webhook_id) == (webhook, (key,))
        assert key not in repr(list(database["webhook"].find()))
        assert await manager.find_cloud_eye(SCOPE, "0a1b") == webhook
        assert await manager.find_cloud_eye(Scope("d-2"), "0a1b") is None
        await manager.authenticate(webhook.webhook_id, key)

    async def test_both_keys_sign_during_overlap(self, manager, clock):
        webhook, old = await create(manager, plugin_id="cloud-eye")
        rotated, new = await manager.rotate_key(SCOPE, webhook.webhook_id, 60)
        assert await manager.signing_keys(webhook.webhook_id) == (rotated, (new, old))
        clock.now += timedelta(seconds=61)
        assert (await manager.signing_keys(webhook.webhook_id))[1] == (new,)
        await manager.rotate_key(SCOPE, webhook.webhook_id)
        assert len((await manager.signing_keys(webhook.webhook_id))[1]) == 1

    async def test_signing_keys_of_disabled_webhook(self, manager):
        webhook, key = await create(manager, plugin_id="cloud-eye")
        await manager.disable(SCOPE, webhook.webhook_id)
        found, keys = await manager.signing_keys(webhook.webhook_id)
        assert (found.state, keys) == (WebhookState.DISABLED, (key,))

    async def test_signing_keys_of_other_webhooks_denied(self, manager):
        webhook, _ = await create(manager)
        with pytest.raises(PermissionDenied):
            await manager.signing_keys(webhook.webhook_id)
        with pytest.raises(NotFound):
            await manager.signing_keys("webhook-nope")


class TestCounters:
    async def test_get_includes_unwritten_counts(self, manager):
        webhook, _ = await create(manager)
        manager.count(webhook.webhook_id, error=False)
        manager.count(webhook.webhook_id, error=True)
        found = await manager.get(SCOPE, webhook.webhook_id)
        assert (found.requests_total, found.requests_error) == (2, 1)
        manager.count(webhook.webhook_id, error=False)
        (row,) = (await manager.list(SCOPE, {}, {})).rows
        assert row["requests"] == {"total": 3, "error": 1}
        manager.count(webhook.webhook_id, error=False)
        total = {"group": {"fields": [{"n": "total", "k": "requests.total", "o": "sum"}]}}
        assert await manager.stat(SCOPE, {"aggregate": [total]}) == {"results": [{"total": 4}]}
        manager.count(webhook.webhook_id, error=False)
        assert (await manager.disable(SCOPE, webhook.webhook_id)).requests_total == 5

    async def test_read_succeeds_when_flush_fails(self, make_manager, database):
        class FullDisk(WebhookStore):
            def add_activity(self, counts):
                raise Unavailable

        manager = make_manager(store=FullDisk(database, 5000))
        webhook, _ = await create(manager)
        manager.count(webhook.webhook_id, error=True)
        manager.record(webhook.webhook_id, DeliveryOutcome(stored=2))
        for _ in range(2):
            found = await manager.get(SCOPE, webhook.webhook_id)
            assert (found.requests_total, found.requests_error, found.activity.stored) == (1, 1, 2)
            (row,) = (await manager.list(SCOPE, {}, {})).rows
            assert row["requests"] == {"total": 1, "error": 1}
        counted = {"group": {"fields": [{"n": "count", "o": "count"}]}}
        assert await manager.stat(SCOPE, {"aggregate": [counted]}) == {"results": [{"count": 1}]}

    async def test_disabled_webhook_counts_authenticated_calls(self, manager):
        webhook, key = await create(manager)
        await manager.disable(SCOPE, webhook.webhook_id)
        with pytest.raises(WebhookDisabled):
            await manager.authenticate(webhook.webhook_id, key)
        with pytest.raises(PermissionDenied):
            await manager.authenticate(webhook.webhook_id, "another")
        assert (await manager.get(SCOPE, webhook.webhook_id)).requests_total == 1

    async def test_counts_flushed_periodically_and_at_close(self, manager, database):
        webhook, _ = await create(manager)
        manager.start()
        manager.count(webhook.webhook_id, error=False)
        await asyncio.sleep(1.2)
        assert database["webhook"].find_one()["requests"] == {"total": 1, "error": 0}
        manager.count(webhook.webhook_id, error=True)
        await manager.close()
        assert database["webhook"].find_one()["requests"] == {"total": 2, "error": 1}


class TestOthers:
    @pytest.mark.parametrize(
        "call",
        [
            lambda manager, scope, name: manager.get(scope, name),
            lambda manager, scope, name: manager.update(scope, name, name="new"),
            lambda manager, scope, name: manager.update_plugin(scope, name, version="2"),
            lambda manager, scope, name: manager.verify_plugin(scope, name),
            lambda manager, scope, name: manager.enable(scope, name),
            lambda manager, scope, name: manager.disable(scope, name),
            lambda manager, scope, name: manager.delete(scope, name),
            lambda manager, scope, name: manager.rotate_key(scope, name),
        ],
        ids=["get", "update", "update_plugin", "verify_plugin", "enable", "disable", "delete", "rotate_key"],
    )
    async def test_missing_and_foreign_not_found(self, manager, call):
        webhook, key = await create(manager)
        with pytest.raises(RequiredParameter, match="webhook_id"):
            await call(manager, SCOPE, "")
        with pytest.raises(NotFound) as missing:
            await call(manager, SCOPE, "webhook-nope")
        for scope in (Scope("d-2"), Scope("d-1", "ws-2"), Scope("d-1", "ws-1", ()), Scope("d-1", "ws-1", ("p",))):
            with pytest.raises(NotFound) as foreign:
                await call(manager, scope, webhook.webhook_id)
            assert str(foreign.value) == str(missing.value).replace("webhook-nope", webhook.webhook_id)
        assert await manager.authenticate(webhook.webhook_id, key) == webhook

    async def test_update(self, manager):
        webhook, _ = await create(manager, tags={"a": 1})
        changed = await manager.update(SCOPE, webhook.webhook_id, name=" new ")
        assert (changed.name, changed.tags) == ("new", {"a": 1})
        assert (await manager.update(SCOPE, webhook.webhook_id, tags={})).tags == {}
        with pytest.raises(InvalidArgument):
            await manager.update(SCOPE, webhook.webhook_id, tags={"a": float("inf")})
        with pytest.raises(RequiredParameter, match="name"):
            await manager.update(SCOPE, webhook.webhook_id, name=" ")

    async def test_update_plugin(self, manager, remote):
        webhook, _ = await create(manager)
        changed = await manager.update_plugin(
            SCOPE, webhook.webhook_id, version="2", options={"auto_recovery": False}, upgrade_mode="MANUAL"
        )
        assert (changed.plugin.version, changed.plugin.options, changed.plugin.upgrade_mode) == (
            "2", {"auto_recovery": False}, "MANUAL",
        )  # fmt: skip
        kept = await manager.update_plugin(SCOPE, webhook.webhook_id)
        assert kept == changed
        assert (await manager.update_plugin(SCOPE, webhook.webhook_id, options={})).plugin.options == {}
        assert remote.asked == []
        with pytest.raises(InvalidArgument, match="duplicate_event_time"):
            await manager.update_plugin(SCOPE, webhook.webhook_id, options={"duplicate_event_time": -1})

    async def test_update_plugin_calls_init_again(self, manager, remote):
        info = {"plugin_id": "plugin-mine", "options": {"endpoint": "grpc://127.0.0.1:2"}}
        webhook, _ = await create(manager, plugin_info=info)
        remote.metadata = {"kept": 2}
        changed = await manager.update_plugin(SCOPE, webhook.webhook_id, options={"endpoint": "grpc://127.0.0.1:3"})
        assert remote.asked[-1] == ("init", "grpc://127.0.0.1:3", {"endpoint": "grpc://127.0.0.1:3"})
        assert changed.plugin.metadata == {"kept": 2}
        with pytest.raises(InvalidArgument, match="plugin_id"):
            await manager.update_plugin(SCOPE, webhook.webhook_id, options={})

    async def test_verify_plugin(self, manager, remote, database):
        built_in, _ = await create(manager)
        await manager.verify_plugin(SCOPE, built_in.webhook_id)
        far, _ = await create(manager, plugin_id="plugin-far")
        await manager.verify_plugin(SCOPE, far.webhook_id)
        assert remote.asked[-1] == ("verify", "grpc://127.0.0.1:1", {})
        remote.refusal = PluginVerifyFailed("no answer")
        with pytest.raises(PluginVerifyFailed):
            await manager.verify_plugin(SCOPE, far.webhook_id)
        database["webhook"].update_one({"webhook_id": built_in.webhook_id}, {"$set": {"plugin_info.plugin_id": "gone"}})
        with pytest.raises(PluginVerifyFailed):
            await manager.verify_plugin(SCOPE, built_in.webhook_id)

    async def test_list_by_access_key(self, manager):
        webhook, key = await create(manager)
        await create(manager, name="other")
        page = await manager.list(SCOPE, {}, {}, key)
        assert [row["webhook_id"] for row in page.rows] == [webhook.webhook_id]
        assert (await manager.list(SCOPE, {}, {}, access_key_hash(key))).rows == []

    async def test_relative_times_count_from_the_clock(self, manager, clock):
        await create(manager)
        clock.now += timedelta(minutes=30)
        query = {"filter": [{"k": "created_at", "v": "now-1h", "o": "timediff_gte"}]}
        assert (await manager.list(SCOPE, query, {})).total_count == 1
        assert len((await manager.stat(SCOPE, {**query, "distinct": "name"}))["results"]) == 1
        clock.now += timedelta(hours=1)
        assert (await manager.list(SCOPE, query, {})).total_count == 0
        assert (await manager.stat(SCOPE, {**query, "distinct": "name"}))["results"] == []

    async def test_selected_fields_masked(self, manager):
        webhook, _ = await create(manager)
        page = await manager.list(SCOPE, {"only": ["webhook_url"]}, {})
        assert page.rows == [{"webhook_url": manager.url(webhook.webhook_id)}]
        with pytest.raises(InvalidArgument):
            await manager.list(SCOPE, {"only": ["access_key"]}, {})

    async def test_upstream_webhook_served_and_key_hashed(self, manager, database):
        database["webhook"].insert_one(
            {
                "webhook_id": "webhook-1",
                "name": "hook",
                "access_key": "k1",
                "webhook_url": "/monitoring/v1/webhook/webhook-1/k1/events",
                "domain_id": "d-1",
                "workspace_id": "ws-1",
                "project_id": "project-1",
                "created_at": NOW,
            }
        )
        assert (await manager.list(SCOPE, {}, {})).rows[0]["webhook_url"] == manager.url("webhook-1")
        with pytest.raises(PermissionDenied):
            await manager.authenticate("webhook-1", "wrong")
        assert (await manager.authenticate("webhook-1", "k1")).name == "hook"
        assert "k1" not in repr(database["webhook"].find_one())
        assert (await manager.authenticate("webhook-1", "k1")).name == "hook"
