"""Storing, finding and listing webhooks, and upstream documents at their first use."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service.errors import AlreadyExists, QueryError, TooLarge
from event_service.model.activity import Activity, DeliveryCounts
from event_service.model.scope import Scope
from event_service.model.webhook import PluginInfo, Webhook, WebhookState, access_key_hash
from event_service.query.fields import WEBHOOK_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.store.client import Database
from event_service.store.reply_limit import ReplyLimit
from event_service.store.webhook_reader import WebhookPage
from event_service.store.webhooks import WebhookChanges, WebhookStore

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
DOMAIN = Scope("d-1")
WORKSPACE = Scope("d-1", "ws-1")
MEMBER = Scope("d-1", "ws-1", ("project-1",))
NO_PROJECT = Scope("d-1", "ws-1", ())
FOREIGN = [Scope("d-2"), Scope("d-1", "ws-2"), Scope("d-1", "ws-1", ("project-2", "project-3")), NO_PROJECT]


def make(webhook_id: str = "webhook-1", **changes: Any) -> Webhook:
    """Return a webhook with the access key `key of <webhook_id>`."""
    webhook = Webhook(
        webhook_id=webhook_id,
        name=f"hook {webhook_id}",
        domain_id="d-1",
        workspace_id="ws-1",
        project_id="project-1",
        plugin=PluginInfo("native", options={"duplicate_event_time": 1}, upgrade_mode="AUTO"),
        created_at=NOW,
        key_hashes=[access_key_hash(f"key of {webhook_id}")],
    )
    return replace(webhook, **changes)


def upstream_document(webhook_id: str, key: str, **changes: Any) -> dict[str, Any]:
    """Return an upstream document, with the access key in clear and in the URL."""
    return {
        "webhook_id": webhook_id,
        "name": f"hook {webhook_id}",
        "state": "ENABLED",
        "access_key": key,
        "webhook_url": f"/monitoring/v1/webhook/{webhook_id}/{key}/events",
        "capability": {"supported_schema": ["a"]},
        "plugin_info": {
            "plugin_id": "plugin-1",
            "version": "1.0",
            "options": {"o": 1},
            "metadata": {"m": 2},
            "upgrade_mode": "AUTO",
        },
        "tags": {"t": "v"},
        "requests": {"total": 5, "error": 1},
        "project": None,
        "project_id": "project-1",
        "workspace_id": "ws-1",
        "domain_id": "d-1",
        "created_at": NOW,
        **changes,
    }


@pytest.fixture
def store(database: Database, database_kind: str) -> WebhookStore:
    database["webhook"].create_index("webhook_id", unique=True)
    return WebhookStore(database, 5000, limit=ReplyLimit(rows=3))


def ask(store: WebhookStore, scope: Scope, query: dict[str, Any], access_key: str = "", **equals: str) -> WebhookPage:
    return store.list(scope, parse_list_query(query, equals, WEBHOOK_FIELDS), access_key)


def ids(page: WebhookPage) -> list[str]:
    return [webhook.webhook_id for webhook in page.webhooks] + [webhook_id for webhook_id, _ in page.selected]


def test_webhook_round_trips(store: WebhookStore) -> None:
    webhook = make(
        tags={"a.b": {"$c": [1, None, {"": "x"}]}, "\0": "y"},
        plugin=PluginInfo("plugin-9", "2.1", {"$where": 1, "x.y": True}, {"": []}, "MANUAL"),
        previous_key_expires_at=NOW + timedelta(days=1),
        key_hashes=["1" * 64, "2" * 64],
        encrypted_keys=[b"\x00\xff", b"other"],
        capability={"c": 1},
        state=WebhookState.DISABLED,
        requests_total=3,
        requests_error=1,
    )
    store.insert(webhook)
    assert store.find(WORKSPACE, "webhook-1") == webhook
    assert store.find_for_delivery("webhook-1") == webhook


def test_key_in_clear_is_not_stored(store: WebhookStore, database: Database) -> None:
    store.insert(make())
    (document,) = database["webhook"].find()
    assert "key of webhook-1" not in repr(document)
    assert not {"access_key", "webhook_url"} & document.keys()


def test_fields_have_upstreams_names(store: WebhookStore, database: Database) -> None:
    store.insert(make())
    (document,) = database["webhook"].find()
    own_fields = {"access_key_hashes", "previous_key_expires_at", "encrypted_keys", "made_by_event_service", "_id"}
    assert document.keys() - own_fields == upstream_document("x", "y").keys() - {"access_key", "webhook_url", "project"}
    assert document["plugin_info"].keys() == upstream_document("x", "y")["plugin_info"].keys()


def test_upstream_webhook_is_not_marked_as_made_here(store: WebhookStore, database: Database) -> None:
    """The mark decides whether a new condition looks for upstream events."""
    store.insert(replace(make("webhook-1"), is_ours=True))
    database["webhook"].insert_one(upstream_document("webhook-2", "key"))
    found = [store.find_for_delivery(webhook_id) for webhook_id in ("webhook-1", "webhook-2", "webhook-2")]
    assert [webhook is not None and webhook.is_ours for webhook in found] == [True, False, False]


def test_webhook_id_is_unique(store: WebhookStore) -> None:
    store.insert(make())
    with pytest.raises(AlreadyExists):
        store.insert(make(name="other"))


@pytest.mark.parametrize("scope", FOREIGN, ids=str)
def test_webhook_of_another_tenant_is_not_found(store: WebhookStore, scope: Scope) -> None:
    before = make(plugin=PluginInfo("cloud-eye", options={"project_id": "p"}))
    store.insert(before)
    assert store.find(scope, "webhook-1") is None
    assert store.update(scope, "webhook-1", WebhookChanges(state=WebhookState.DISABLED)) is None
    assert store.update(scope, "webhook-1", WebhookChanges()) is None
    assert store.replace_keys(scope, before, replace(before, key_hashes=["x"])) is None
    assert store.find_cloud_eye(scope, "p") is None
    assert not store.delete(scope, "webhook-1")
    assert ids(ask(store, scope, {})) == []
    assert ids(ask(store, scope, {}, access_key="key of webhook-1")) == []
    assert ask(store, scope, {"filter_or": [{"k": "name", "o": "exists", "v": True}]}).total_count == 0
    assert store.stat(scope, parse_stat_query({"distinct": "webhook_id"}, WEBHOOK_FIELDS)) == {"results": []}
    assert store.find(WORKSPACE, "webhook-1") == before


@pytest.mark.parametrize("scope", [DOMAIN, WORKSPACE, MEMBER], ids=str)
def test_update_changes_the_given_fields(store: WebhookStore, scope: Scope) -> None:
    store.insert(make(tags={"a": 1}))
    changed = store.update(
        scope,
        "webhook-1",
        WebhookChanges(
            name="new",
            tags={},
            state=WebhookState.DISABLED,
            version="2",
            options={"$x": 1},
            metadata={"y": 2},
            upgrade_mode="MANUAL",
        ),
    )
    expected = make(
        name="new", state=WebhookState.DISABLED, plugin=PluginInfo("native", "2", {"$x": 1}, {"y": 2}, "MANUAL")
    )
    assert changed == expected == store.find(scope, "webhook-1")
    assert store.update(scope, "webhook-1", WebhookChanges()) == expected
    assert store.update(scope, "webhook-1", WebhookChanges(version="3")) == replace(
        expected, plugin=replace(expected.plugin, version="3")
    )
    assert store.delete(scope, "webhook-1")
    assert not store.delete(scope, "webhook-1")
    assert store.find_for_delivery("webhook-1") is None


def test_second_of_two_rotations_fails(store: WebhookStore) -> None:
    before = make()
    store.insert(before)
    first, second = replace(before, key_hashes=["1", "0"]), replace(before, key_hashes=["2", "0"])
    assert store.replace_keys(WORKSPACE, before, first) == first
    assert store.replace_keys(WORKSPACE, before, second) is None
    assert store.replace_keys(WORKSPACE, first, second) == second


@pytest.mark.parametrize("hashes", [[], ["1"], ["1", "2"]])
def test_keys_of_any_kind_can_be_replaced(store: WebhookStore, hashes: list[str]) -> None:
    before = make(key_hashes=hashes)
    store.insert(before)
    after = replace(before, key_hashes=["new"], encrypted_keys=[b"s"], previous_key_expires_at=NOW)
    assert store.replace_keys(WORKSPACE, before, after) == after


def test_counts_of_many_webhooks_in_one_write(store: WebhookStore, database: Database) -> None:
    store.insert(make("webhook-1"))
    database["webhook"].insert_one({**upstream_document("webhook-2", "k"), "requests": {"total": 5, "error": 1}})
    without = upstream_document("webhook-3", "k")
    del without["requests"]
    database["webhook"].insert_one(without)
    store.add_activity(
        {
            "webhook-1": DeliveryCounts(3, 1),
            "webhook-2": DeliveryCounts(1, 0),
            "webhook-3": DeliveryCounts(2, 2),
            "gone": DeliveryCounts(9, 9),
        }
    )
    store.add_activity({"webhook-1": DeliveryCounts(1, 0)})
    store.add_activity({})
    found = {webhook.webhook_id: webhook for webhook in ask(store, WORKSPACE, {"page": {"limit": 9}}).webhooks}
    assert {name: (one.requests_total, one.requests_error) for name, one in found.items()} == {
        "webhook-1": (4, 1),
        "webhook-2": (6, 1),
        "webhook-3": (2, 2),
    }


def test_delivery_counts_add_up(store: WebhookStore, database: Database) -> None:
    store.insert(make("webhook-1"))
    database["webhook"].insert_one(upstream_document("webhook-2", "k"))
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    first = Activity(
        stored=3,
        errors=1,
        duplicates=2,
        unmatched=4,
        ignored={"acknowledge": 5, "a.b$c": 1},
        refused=6,
        last_received_at=late,
        last_error_at=early,
        last_error="title: 한국어 must be a string",
    )
    # What another replica counted may be written later, and be older.
    second = Activity(stored=1, ignored={"acknowledge": 1, "note": 1}, last_received_at=early)
    for webhook_id in ("webhook-1", "webhook-2"):
        store.add_activity({webhook_id: DeliveryCounts(9, 1, first)})
        store.add_activity({webhook_id: DeliveryCounts(1, 0, second)})
        webhook = store.find(WORKSPACE, webhook_id)
        assert webhook is not None
        assert webhook.activity == Activity(
            stored=4,
            errors=1,
            duplicates=2,
            unmatched=4,
            ignored={"acknowledge": 6, "a b c": 1, "note": 1},
            refused=6,
            last_received_at=late,
            last_error_at=early,
            last_error="title: 한국어 must be a string",
        )


class TestUpstreamDocuments:
    @pytest.fixture(autouse=True)
    def documents(self, database: Database, store: WebhookStore) -> None:
        database["webhook"].insert_many([upstream_document("webhook-1", "k1"), upstream_document("webhook-2", "k2")])

    def test_are_read(self, store: WebhookStore) -> None:
        webhook = store.find(WORKSPACE, "webhook-1")
        assert webhook == make(
            plugin=PluginInfo("plugin-1", "1.0", {"o": 1}, {"m": 2}, "AUTO"),
            key_hashes=[access_key_hash("k1")],
            tags={"t": "v"},
            capability={"supported_schema": ["a"]},
            requests_total=5,
            requests_error=1,
        )

    def test_are_hashed_at_first_use(self, store: WebhookStore, database: Database) -> None:
        before = store.find_for_delivery("webhook-1")
        document = database["webhook"].find_one({"webhook_id": "webhook-1"})
        assert document is not None
        assert "k1" not in repr(document)
        assert not {"access_key", "webhook_url"} & document.keys()
        assert document["access_key_hashes"] == [access_key_hash("k1")]
        assert before == store.find_for_delivery("webhook-1") == store.find(WORKSPACE, "webhook-1")
        untouched = database["webhook"].find_one({"webhook_id": "webhook-2"})
        assert untouched is not None
        assert untouched["access_key"] == "k2"

    def test_are_hashed_by_hash_clear_keys(self, store: WebhookStore, database: Database) -> None:
        assert store.hash_clear_keys() == 2
        assert store.hash_clear_keys() == 0
        assert all("access_key" not in document for document in database["webhook"].find())
        webhook = store.find_for_delivery("webhook-2")
        assert webhook is not None
        assert webhook.key_hashes == [access_key_hash("k2")]

    def test_late_first_use_does_not_undo_a_rotation(self, store: WebhookStore, database: Database) -> None:
        late = database["webhook"].find_one({"webhook_id": "webhook-1"})
        before = store.find(WORKSPACE, "webhook-1")
        assert late is not None
        assert before is not None
        after = replace(before, key_hashes=["new"])
        assert store.replace_keys(WORKSPACE, before, after) == after
        store._hash_key(late)
        assert store.find_for_delivery("webhook-1") == after
        assert "k1" not in repr(database["webhook"].find_one({"webhook_id": "webhook-1"}))

    def test_rotate_before_and_after_first_use(self, store: WebhookStore) -> None:
        before = store.find(WORKSPACE, "webhook-1")
        assert before is not None
        store.find_for_delivery("webhook-1")
        assert store.replace_keys(WORKSPACE, before, replace(before, key_hashes=["new"])) is not None

    def test_list_by_access_key_finds_clear_keys_and_digests(self, store: WebhookStore) -> None:
        assert ids(ask(store, WORKSPACE, {}, access_key="k1")) == ["webhook-1"]
        store.find_for_delivery("webhook-1")
        assert ids(ask(store, WORKSPACE, {}, access_key="k1")) == ["webhook-1"]
        assert ids(ask(store, WORKSPACE, {}, access_key=access_key_hash("k1"))) == []

    def test_documents_with_odd_values_are_read(self, store: WebhookStore, database: Database) -> None:
        database["webhook"].delete_many({})
        database["webhook"].insert_one(
            {"webhook_id": "webhook-9", "domain_id": "d-1", "plugin_info": None, "tags": None}
        )
        webhook = store.find_for_delivery("webhook-9")
        assert webhook is not None
        assert (webhook.name, webhook.key_hashes, webhook.plugin.plugin_id, webhook.tags) == ("", [], "", {})
        assert ids(ask(store, DOMAIN, {})) == ["webhook-9"]

    @pytest.mark.parametrize(
        "query",
        [
            {"aggregate": [{"limit": 10}]},
            {"aggregate": [{"sort": [{"key": "name"}]}]},
            {"aggregate": [{"skip": 0}]},
            {"aggregate": [{"group": {"keys": [{"k": "tags", "n": "t"}], "fields": [{"n": "n", "o": "count"}]}}]},
            {"aggregate": [{"group": {"fields": [{"k": "plugin_info", "n": "p", "o": "push"}]}}]},
            {"aggregate": [{"unwind": {"path": "capability.supported_schema"}}]},
            {"distinct": "plugin_info"},
            {"distinct": "access_key_hashes"},
            {"distinct": "encrypted_keys"},
        ],
        ids=json.dumps,
    )
    @pytest.mark.parametrize("used", [False, True])
    def test_stat_returns_no_key(self, store: WebhookStore, query: dict[str, Any], used: bool) -> None:
        if used:
            store.hash_clear_keys()
        try:
            reply = repr(store.stat(DOMAIN, parse_stat_query(query, WEBHOOK_FIELDS)))
        except QueryError:
            return
        for key in ("k1", "k2"):
            assert key not in reply
            assert access_key_hash(key) not in reply

    @pytest.mark.parametrize(
        "query",
        [
            {},
            {"minimal": True},
            {"only": ["webhook_url", "name", "tags.t", "plugin_info", "created_at", "requests"]},
            {"only": ["name"], "add_fields": {"name": "literal", "tags": "$capability"}},
            {"only": ["capability"], "unwind": {"path": "capability.supported_schema"}},
        ],
        ids=json.dumps,
    )
    def test_list_returns_no_key(self, store: WebhookStore, query: dict[str, Any]) -> None:
        page = ask(store, DOMAIN, query)
        assert len(page.webhooks) + len(page.selected) == 2
        assert not any(text in repr(page.selected) for text in ("k1", "k2", "key", "hash"))
        assert not any(text in repr(page.webhooks) for text in ("'k1'", "'k2'", "/k1/"))


SECRET = [
    "access_key",
    "webhook_url",
    "access_key_hashes",
    "access_key_hashes.0",
    "encrypted_keys",
    "previous_key_expires_at",
]


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize(
    "query",
    [
        {"filter": [{"k": "NAME", "v": "k", "o": "contain"}]},
        {"filter_or": [{"k": "NAME", "v": "k", "o": "eq"}]},
        {"filter": [{"k": "NAME", "v": "k.*", "o": "regex"}]},
        {"filter": [{"k": "NAME", "v": True, "o": "exists"}]},
        {"sort": [{"key": "NAME"}]},
        {"only": ["NAME"]},
        {"only": ["name"], "add_fields": {"name": "$NAME"}},
        {"only": ["name"], "add_fields": {"name": {"if": {"__eq": ["$NAME", "k"]}, "then": "a", "else": "b"}}},
        {"only": ["name"], "unwind": {"path": "NAME"}},
        {"only": ["tags"], "unwind": {"path": "tags", "filter": [{"k": "NAME", "v": "k", "o": "contain"}]}},
    ],
    ids=json.dumps,
)
def test_list_cannot_filter_on_keys(store: WebhookStore, query: dict[str, Any], name: str) -> None:
    """The query is refused or, where unknown fields are ignored, returns the same as without."""
    store.insert(make("webhook-1", encrypted_keys=[b"k"]))
    query = json.loads(json.dumps(query).replace("NAME", name))
    if query == {"only": ["webhook_url"]}:
        return  # shown masked
    ignored = "sort" in query or "unwind" in query
    try:
        page = ask(store, DOMAIN, query)
    except QueryError:
        return
    assert ignored
    assert access_key_hash("key of webhook-1") not in repr(page.selected)


@pytest.mark.parametrize("name", SECRET)
@pytest.mark.parametrize(
    "query",
    [
        {"distinct": "NAME"},
        {"aggregate": [{"group": {"keys": [{"k": "NAME", "n": "x"}]}}]},
        {"aggregate": [{"group": {"fields": [{"k": "NAME", "n": "x", "o": "push"}]}}]},
        {"aggregate": [{"group": {"fields": [{"k": "NAME", "n": "x", "o": "max"}]}}]},
        {"aggregate": [{"group": {"fields": [{"n": "x", "o": "push", "fields": [{"k": "NAME", "n": "y"}]}]}}]},
        {
            "aggregate": [
                {
                    "group": {
                        "fields": [
                            {"n": "x", "o": "count", "conditions": [{"key": "NAME", "value": "k", "operator": "gt"}]}
                        ]
                    }
                }
            ]
        },
        {"aggregate": [{"sort": [{"key": "NAME"}]}, {"limit": 1}]},
        {"aggregate": [{"unwind": {"path": "NAME"}}]},
        {"aggregate": [{"project": {"fields": [{"k": "NAME", "n": "x"}]}}]},
        {"distinct": "name", "filter": [{"k": "NAME", "v": "k", "o": "gt"}]},
    ],
    ids=json.dumps,
)
def test_stat_cannot_use_keys(store: WebhookStore, database: Database, query: dict[str, Any], name: str) -> None:
    store.insert(make("webhook-1", encrypted_keys=[b"k"]))
    database["webhook"].insert_one(upstream_document("webhook-2", "canary"))
    query = json.loads(json.dumps(query).replace("NAME", name))
    try:
        reply = repr(store.stat(DOMAIN, parse_stat_query(query, WEBHOOK_FIELDS)))
    except QueryError:
        return
    assert "canary" not in reply
    assert access_key_hash("canary") not in reply
    assert access_key_hash("key of webhook-1") not in reply


class TestLists:
    @pytest.fixture(autouse=True)
    def webhooks(self, store: WebhookStore) -> None:
        for number, name in enumerate(["delta", "Alpha", "charlie", "bravo", "alpha"]):
            store.insert(
                make(
                    f"webhook-{number}",
                    name=name,
                    project_id=f"project-{number % 2 + 1}",
                    tags={"n": number, "list": ["x", "y"]},
                    state=WebhookState.DISABLED if number == 3 else WebhookState.ENABLED,
                    created_at=NOW + timedelta(minutes=number),
                )
            )
        store.insert(make("webhook-9", workspace_id="ws-2", name="far"))

    def test_sorted_by_name_and_cut_at_the_limit(self, store: WebhookStore) -> None:
        page = ask(store, WORKSPACE, {})
        assert [webhook.name for webhook in page.webhooks] == ["Alpha", "alpha", "bravo"]
        assert (page.total_count, page.cut) == (5, True)

    def test_pages(self, store: WebhookStore) -> None:
        page = ask(store, WORKSPACE, {"page": {"start": 2, "limit": 3}})
        assert [webhook.name for webhook in page.webhooks] == ["alpha", "bravo", "charlie"]
        assert (page.total_count, page.cut) == (5, False)
        assert ask(store, WORKSPACE, {"page": {"start": 99, "limit": 3}}) == WebhookPage(total_count=5)

    def test_scopes(self, store: WebhookStore) -> None:
        assert ask(store, DOMAIN, {}).total_count == 6
        assert ids(ask(store, MEMBER, {"sort": [{"key": "webhook_id"}]})) == ["webhook-0", "webhook-2", "webhook-4"]

    def test_equals(self, store: WebhookStore) -> None:
        assert ids(ask(store, WORKSPACE, {}, state="DISABLED")) == ["webhook-3"]
        assert ids(ask(store, WORKSPACE, {}, name="alpha")) == ["webhook-4"]
        assert ids(ask(store, DOMAIN, {}, workspace_id="ws-2")) == ["webhook-9"]
        assert ids(ask(store, WORKSPACE, {}, webhook_id="webhook-1", project_id="project-2")) == ["webhook-1"]
        assert ids(ask(store, WORKSPACE, {}, project_id="*")) == []

    def test_filters(self, store: WebhookStore) -> None:
        assert ids(ask(store, WORKSPACE, {"filter": [{"k": "tags.n", "v": 3, "o": "gte"}]})) == [
            "webhook-4",
            "webhook-3",
        ]
        assert ids(ask(store, WORKSPACE, {"keyword": "ALPHA"})) == ["webhook-1", "webhook-4"]
        assert ask(store, WORKSPACE, {"count_only": True}) == WebhookPage(total_count=5)

    def test_selected_fields(self, store: WebhookStore) -> None:
        page = ask(store, WORKSPACE, {"only": ["tags.n", "webhook_url", "created_at"], "sort": [{"key": "tags.n"}]})
        assert page.selected[0] == ("webhook-0", {"tags": {"n": 0}, "webhook_url": "", "created_at": NOW})
        page = ask(store, WORKSPACE, {"minimal": True})
        assert page.selected[0] == (
            "webhook-1",
            {
                "webhook_id": "webhook-1",
                "name": "Alpha",
                "state": "ENABLED",
                "webhook_url": "",
                "project_id": "project-2",
                "workspace_id": "ws-1",
            },
        )

    def test_unwound(self, store: WebhookStore) -> None:
        page = ask(
            store,
            WORKSPACE,
            {"only": ["tags.list", "name"], "unwind": {"path": "tags.list"}, "page": {"limit": 2}},
            webhook_id="webhook-0",
        )
        assert [fields for _, fields in page.selected] == [
            {"tags": {"list": ["x"]}, "name": "delta"},
            {"tags": {"list": ["y"]}, "name": "delta"},
        ]
        assert page.total_count == 2

    def test_page_is_bounded_in_bytes(self, store: WebhookStore, database: Database) -> None:
        small = WebhookStore(database, 5000, limit=ReplyLimit(size=1))
        page = ask(small, WORKSPACE, {})
        assert (len(page.webhooks), page.cut, page.total_count) == (1, True, 5)
        assert len(ask(small, WORKSPACE, {"page": {"limit": 1}}).webhooks) == 1
        with pytest.raises(TooLarge, match=r"query\.page\.limit: the rows exceed 4 bytes"):
            ask(small, WORKSPACE, {"page": {"limit": 2}})
        with pytest.raises(TooLarge, match=r"^query.*exceeds? 1 bytes"):
            small.stat(WORKSPACE, parse_stat_query({"aggregate": [{"sort": [{"key": "name"}]}]}, WEBHOOK_FIELDS))

    def test_statistics(self, store: WebhookStore) -> None:
        group = {"group": {"keys": [{"k": "state", "n": "state"}], "fields": [{"n": "count", "o": "count"}]}}
        query = {"aggregate": [group, {"sort": [{"key": "state"}]}]}
        assert store.stat(WORKSPACE, parse_stat_query(query, WEBHOOK_FIELDS)) == {
            "results": [{"state": "DISABLED", "count": 1}, {"state": "ENABLED", "count": 4}]
        }


class TestByAccessKey:
    def test_only_valid_keys_match(self, store: WebhookStore) -> None:
        future, past = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(seconds=1)
        hashes = [access_key_hash("new"), access_key_hash("old")]
        store.insert(make("webhook-1", key_hashes=hashes, previous_key_expires_at=future))
        store.insert(make("webhook-2", key_hashes=hashes, previous_key_expires_at=past))
        store.insert(make("webhook-3", key_hashes=hashes))
        assert ids(ask(store, WORKSPACE, {}, access_key="new")) == ["webhook-1", "webhook-2", "webhook-3"]
        assert ids(ask(store, WORKSPACE, {}, access_key="old")) == ["webhook-1"]
        assert ids(ask(store, WORKSPACE, {}, access_key="none")) == []

    def test_together_with_filters(self, store: WebhookStore) -> None:
        store.insert(make("webhook-1"))
        either = {"filter_or": [{"k": "name", "v": "x", "o": "eq"}, {"k": "webhook_id", "v": "webhook-1", "o": "eq"}]}
        assert ids(ask(store, WORKSPACE, either, access_key="key of webhook-1")) == ["webhook-1"]
        assert ids(ask(store, WORKSPACE, either, access_key="other")) == []


class TestCloudEye:
    def insert(self, store: WebhookStore, webhook_id: str, option: str | None, **changes: Any) -> None:
        options = {} if option is None else {"project_id": option}
        store.insert(make(webhook_id, **{"plugin": PluginInfo("cloud-eye", options=options), **changes}))

    def test_matched_by_option_or_else_by_project(self, store: WebhookStore) -> None:
        self.insert(store, "webhook-1", "ces-1")
        self.insert(store, "webhook-2", None, project_id="project-2")
        self.insert(store, "webhook-3", None, project_id="ces-1", created_at=NOW - timedelta(days=1))
        self.insert(store, "webhook-4", "ces-4", plugin=PluginInfo("native", options={"project_id": "ces-4"}))

        def found(project: str, scope: Scope = WORKSPACE) -> str | None:
            webhook = store.find_cloud_eye(scope, project)
            return webhook.webhook_id if webhook else None

        assert found("ces-1") == "webhook-3"
        assert found("ces-1", MEMBER) == "webhook-1"
        assert found("project-2") == "webhook-2"
        assert found("project-1") is None
        assert found("ces-4") is None
        assert found("") is None

    def test_enabled_webhook_precedes_disabled(self, store: WebhookStore) -> None:
        self.insert(store, "webhook-1", "ces-1", state=WebhookState.DISABLED, created_at=NOW - timedelta(days=1))
        self.insert(store, "webhook-2", "ces-1")
        self.insert(store, "webhook-3", "ces-1", created_at=NOW + timedelta(days=1))
        webhook = store.find_cloud_eye(WORKSPACE, "ces-1")
        assert webhook is not None
        assert webhook.webhook_id == "webhook-2"
