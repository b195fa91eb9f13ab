"""A primary without its majority neither returns nor acknowledges writes that may be rolled back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from event_service.errors import Unavailable
from event_service.model.scope import Scope
from event_service.model.webhook import PluginInfo, Webhook, access_key_hash
from event_service.query.list_query import ListQuery
from event_service.settings import Settings
from event_service.store.client import Database, close, connect, time_limit
from event_service.store.event_reader import EventReader
from event_service.store.indexes import ensure
from event_service.store.webhooks import WebhookStore
from event_service.wire.timestamps import utc_now
from tests.chaos.caller import events_of
from tests.chaos.conftest import MakeService
from tests.chaos.mongodb_proxy import MongoProxy, Trap
from tests.chaos.watch import Watch
from tests.contract.test_committer import ALERT, Bench
from tests.e2e.service import Service
from tests.mongod import Node, ReplicaSet

ATTEMPTS = 3
DOMAIN = Scope("domain")
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
OK = grpc.StatusCode.OK


@pytest.fixture
def primary(patient_set: ReplicaSet) -> Node:
    """Return the primary of a set whose nodes are all well."""
    patient_set.repair()
    patient_set.step_up(patient_set.nodes[0])
    return patient_set.nodes[0]


@pytest.fixture
def proxy_of_primary(primary: Node) -> Iterator[MongoProxy]:
    """Yield the way to that primary alone, whatever becomes of the others."""
    proxy = MongoProxy(("127.0.0.1", primary.port))
    yield proxy
    proxy.close()


@pytest.fixture
def database(primary: Node, database_name: str) -> Iterator[Database]:
    """That primary's database, as the service connects to it."""
    database = connect(Settings(database=database_name), primary.uri)
    ensure(database)
    yield database
    close(database)


def kill_secondaries(replica_set: ReplicaSet, primary: Node) -> None:
    """Not paused: what has arrived in the sockets of a paused node is read when it goes on."""
    for node in replica_set.nodes:
        if node is not primary:
            node.kill()


def fail_over(replica_set: ReplicaSet, primary: Node) -> None:
    """The primary dies, and its secondaries, which come back, elect one of them."""
    primary.kill()
    others = [node for node in replica_set.nodes if node is not primary]
    for node in others:
        node.spawn()
    replica_set.step_up(others[0])


def code_of(service: Service, webhook: tuple[str, str], payload: dict[str, Any], key: str) -> grpc.StatusCode:
    try:
        service.create_event(webhook, payload, idempotency_key=key)
    except grpc.RpcError as error:
        return error.code()  # type: ignore[attr-defined,no-any-return]
    return OK


def test_a_retry_is_not_acknowledged_by_what_only_a_minority_has(
    make_service: MakeService,
    patient_set: ReplicaSet,
    primary: Node,
    proxy_of_primary: MongoProxy,
    database_name: str,
) -> None:
    service, other = make_service(proxy_of_primary.uri), make_service(patient_set.uri)
    for each in (service, other):
        each.spawn()
    for each in (service, other):
        each.wait_serving()
    webhook = service.create_webhook()
    payload = {"event_key": "k"}
    with Watch(service, webhook) as watch:
        proxy_of_primary.trap = trap = Trap(
            "insert", "event", True, lambda: kill_secondaries(patient_set, primary), passes=True
        )
        answers = [code_of(service, webhook, payload, "key") for _ in range(ATTEMPTS)]
        assert trap.sprung.is_set()
        with primary.client() as client:
            assert client[database_name]["event"].count_documents({}) == 1, "the primary has it, the others do not"
        shown = events_of(service, webhook), watch.received, service.health()
    fail_over(patient_set, primary)
    other.wait_serving()
    assert events_of(other, webhook) == []
    assert answers == [UNAVAILABLE] * ATTEMPTS, "acknowledged, and lost"
    assert shown == ([], set(), "NOT_SERVING")

    assert code_of(other, webhook, payload, "key") is OK
    patient_set.restart(primary)
    assert code_of(other, webhook, payload, "key") is OK
    assert [row["event_key"] for row in events_of(other, webhook)] == ["k"]


class Seen:
    """Return the results of the service's own readers."""

    def __init__(self, database: Database) -> None:
        self.bench = Bench(database)
        self.webhooks = WebhookStore(database, 5000)
        self.reader = EventReader(database["event"])

    def rows(self) -> list[object]:
        """Of everything that an answer is made of."""
        entry = self.bench.entry(ALERT, "k", 0)
        past = self.bench.events.newest_alerts([entry.key])
        webhook = self.webhooks.find_for_delivery("webhook-1")
        assert webhook is not None
        return [
            past,
            self.bench.alerts.states(found.alert.alert_id for found in past.values()),
            self.reader.list(DOMAIN, ListQuery()).rows,
            webhook.key_hashes,
        ]


def test_what_may_be_rolled_back_is_not_read(patient_set: ReplicaSet, primary: Node, database: Database) -> None:
    webhook = Webhook("webhook-1", "w", "domain", "workspace", "project", PluginInfo("native"), utc_now())
    webhook.key_hashes = [access_key_hash("old")]
    WebhookStore(database, 5000).insert(webhook)
    # What the service reads and what the primary has by itself: local reads.
    known = Seen(database)
    kill_secondaries(patient_set, primary)
    local = Seen(
        database.client.get_database(
            database.name,
            codec_options=database.codec_options,
            read_concern=ReadConcern("local"),
            write_concern=WriteConcern(w=1),
        )
    )
    before = known.rows()
    for bench in (local.bench, known.bench):  # the second one reads what the first has written, and cannot commit
        with time_limit(2.0), pytest.raises(Unavailable):
            bench.run(bench.item((ALERT, "k", 0), key="record"))
    local.webhooks.replace_keys(DOMAIN, webhook, replace(webhook, key_hashes=[access_key_hash("new")]))
    assert all(there != not_there for there, not_there in zip(local.rows(), before, strict=True))
    assert known.rows() == before
    assert database.client[database.name]["event"].count_documents({}) == 1
