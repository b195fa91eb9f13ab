"""MongoDBs that the service cannot run on, real ones: one line that says why and what to do, and no write.

By `serve` itself where an operator meets it; the others by the check that `serve` begins with.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from event_service.cli.configuration import load_settings
from event_service.cli.doctor import check_database as doctor_database
from event_service.settings import Settings
from event_service.store.client import close, connect
from event_service.store.requirements.check import check_database
from event_service.store.requirements.faults import DatabaseNotReady, UnsuitableDatabase
from tests.e2e.refusals import assert_one_clear_line, refused_start
from tests.e2e.service import START_SECONDS, Service
from tests.mongod import Node, ReplicaSet
from tests.waiting import wait_until

MakeService = Callable[..., Service]


def check(uri: str, database_name: str = "monitoring") -> str:
    """Return the refusal of a database, prefixed with "now: " if it is transient."""
    database = connect(Settings(database=database_name), uri)
    try:
        check_database(database, uri)
    except UnsuitableDatabase as error:
        return str(error)
    except DatabaseNotReady as error:
        return f"now: {error}"
    finally:
        close(database)
    return ""


def initiate(node: Node, name: str = "rs0", **config: Any) -> None:
    """Make a node the primary of a replica set, of itself alone unless the configuration says otherwise."""
    # A heartbeat is due every two seconds by default, and the first election waits for some.
    settings = {"electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200}
    alone = {"_id": name, "members": [{"_id": 0, "host": node.address}], "settings": settings}
    with node.client() as client:
        client.admin.command("replSetInitiate", alone | config)
    node.wait(lambda hello: hello.get("isWritablePrimary"))


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[..., Node]]:
    """Start a mongod."""
    made: list[Node] = []

    def make(*arguments: str) -> Node:
        made.append(Node(tmp_path / f"mongod-{len(made)}", *arguments))
        return made[-1].start()

    yield make
    for node in made:
        node.kill()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    """A replica set that is as it should be."""
    with ReplicaSet(tmp_path_factory.mktemp("one"), nodes=1) as running:
        yield running


def test_standalone_is_refused_at_once(make_node: Callable[..., Node], tmp_path: Path) -> None:
    node = make_node()
    assert_one_clear_line(
        refused_start(tmp_path, EVENT_SERVICE_MONGODB_URI=node.uri),
        f"{node.address} is a standalone mongod, which has no majority writes and no change streams: "
        "start it with --replSet and run rs.initiate() once, or unset EVENT_SERVICE_MONGODB_URI",
    )
    assert "is a standalone mongod" in check(f"mongodb://{node.address}/?replicaSet=rs0")
    assert "is a standalone mongod" in check(f"mongodb://user:word@{node.address}/")
    with node.client() as client:
        assert set(client.list_database_names()) <= {"admin", "config", "local"}


def test_arbiter_as_the_only_other_member_is_refused(make_node: Callable[..., Node]) -> None:
    data, arbiter = (make_node("--replSet", "rs0") for _ in range(2))
    members = [{"_id": 0, "host": data.address}, {"_id": 1, "host": arbiter.address, "arbiterOnly": True}]
    initiate(data, members=members)
    said = (
        "only 1 of the 2 members of the replica set 'rs0' hold data, which is not a majority: "
        f"replace the arbiter {arbiter.address}"
    )
    assert said in check(f"mongodb://{data.address},{arbiter.address}/?replicaSet=rs0")
    assert said in check(arbiter.uri)
    with data.client() as client:
        assert "monitoring" not in client.list_database_names()


def test_members_of_a_sharded_cluster_name_the_mongos(make_node: Callable[..., Node]) -> None:
    config, shard = make_node("--replSet", "rs0", "--configsvr"), make_node("--replSet", "shard", "--shardsvr")
    initiate(config, configsvr=True)
    initiate(shard, "shard")
    with config.client() as client:
        # What a mongos sends for `sh.addShard()`.
        added = {"_configsvrAddShard": f"shard/{shard.address}", "name": "s", "writeConcern": {"w": "majority"}}
        client.admin.command(added)
    advice = "name the cluster's mongos in EVENT_SERVICE_MONGODB_URI"
    assert check(config.uri) == f"{config.address} is a config server of a sharded cluster: {advice}"
    assert check(shard.uri) == f"{shard.address} is a shard of a sharded cluster, not its mongos: {advice}"


def test_another_replica_set_s_name_is_refused(one: ReplicaSet) -> None:
    said = check(one.uri.replace("rs0", "events"))
    assert "names the replica set 'events', but the servers belong to 'rs0': correct" in said


COLLECTIONS: dict[str, tuple[Callable[[Any], object], str]] = {
    "validator": (
        lambda database: database.create_collection("event", validator={"account": {"$type": "string"}}),
        "validator.event has a validator",
    ),
    "view": (
        lambda database: database.create_collection("alert", viewOn="other", pipeline=[]),
        "view.alert is a view",
    ),
    "capped": (
        lambda database: database.create_collection("idempotency_key", capped=True, size=4096),
        "capped.idempotency_key is a capped collection",
    ),
    "times": (
        lambda database: database.create_collection("event", timeseries={"timeField": "created_at"}),
        "times.event is a time series collection",
    ),
    "collation": (
        lambda database: database.create_collection("webhook", collation={"locale": "en", "strength": 1}),
        "collation.webhook compares strings by the collation 'en'",
    ),
    "unique": (
        lambda database: database["event"].create_index("event_key", unique=True),
        "the unique index 'event_key_1' of unique.event refuses documents with the same event_key",
    ),
}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_collection_that_does_not_take_our_documents_is_named(one: ReplicaSet, name: str) -> None:
    make, said = COLLECTIONS[name]
    with one.nodes[0].client() as client:
        client.drop_database(name)
        make(client[name])
        before = sorted(client[name].list_collection_names())
        assert said in check(one.uri, name)
        assert sorted(client[name].list_collection_names()) == before


def test_collection_of_others_ends_the_start_before_any_write(one: ReplicaSet, tmp_path: Path) -> None:
    with one.nodes[0].client() as client:
        client.drop_database("others")
        client["others"].create_collection("event", validator={"account": {"$type": "string"}})
        done = refused_start(tmp_path, EVENT_SERVICE_MONGODB_URI=one.uri, EVENT_SERVICE_DATABASE="others")
        assert_one_clear_line(done, "others.event has a validator, which may refuse what the service stores: remove it")
        assert client["others"].list_collection_names() == ["event"]


def test_replica_set_that_is_initiated_late_is_waited_for(
    make_node: Callable[..., Node], make_service: MakeService
) -> None:
    node = make_node("--replSet", "rs0")
    service = make_service(EVENT_SERVICE_MONGODB_URI=node.uri)
    service.spawn()
    said = f"{node.address} has no valid replica set configuration: run rs.initiate() on it once"
    wait_until(lambda: said in service.log, START_SECONDS, explain=lambda: service.log)
    initiate(node)
    service.wait_serving()
    assert service.stop() == 0


def test_lost_majority_is_not_serving_until_it_is_back(tmp_path: Path, make_service: MakeService) -> None:
    with (
        ReplicaSet(tmp_path / "set") as replica_set,
        make_service(EVENT_SERVICE_MONGODB_URI=replica_set.uri) as service,
    ):
        primary, (second, third) = replica_set.primary(), replica_set.secondaries()

        with third.client() as client:
            client.admin.command("replSetMaintenance", 1)
        assert f"{third.address} is recovering or in its initial sync and accepts no writes" in check(third.uri)
        said = f"{second.address} is a secondary and accepts no writes: name {primary.address}, or all members"
        assert said in check(second.uri)

        second.kill()
        third.kill()
        wait_until(lambda: service.health() == "NOT_SERVING", explain=service.health)
        primary.wait(lambda hello: hello.get("secondary"))
        said = check(replica_set.uri)
        assert said.startswith("now: the replica set 'rs0' has no primary: ")
        assert said.endswith("start a majority of the members")
        assert f"{primary.address} is a secondary, " in said
        for node in (second, third):
            assert f"{node.address} is unreachable (Connection refused)" in said
        (found,) = doctor_database(load_settings({"mongodb_uri": replica_set.uri}))
        assert found.verdict == "fault"
        assert found.detail == said.removeprefix("now: ").rpartition(": ")[0]

        replica_set.restart(second)
        wait_until(lambda: service.health() == "SERVING", explain=lambda: service.log)


def test_member_that_was_removed_has_no_configuration(tmp_path: Path) -> None:
    with ReplicaSet(tmp_path / "set", nodes=2) as replica_set:
        primary, (removed,) = replica_set.primary(), replica_set.secondaries()
        with primary.client() as client:
            config = client.admin.command("replSetGetConfig")["config"]
            config["version"] += 1
            config["members"] = [member for member in config["members"] if member["host"] == primary.address]
            client.admin.command("replSetReconfig", config)
        removed.wait(lambda hello: "setName" not in hello)
        assert check(removed.uri) == (
            f"now: {removed.address} has no valid replica set configuration: run rs.initiate() on it once, "
            "or rs.add() on the primary if it was removed from its set"
        )
        assert check(primary.uri) == ""
