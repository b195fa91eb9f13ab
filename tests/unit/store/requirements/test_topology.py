"""Errors by the servers' replies to `hello`. Real servers: tests/e2e/test_bad_databases.py."""

from typing import Any

import pytest

from event_service.settings import Settings
from event_service.store.client import close, connect
from event_service.store.requirements.faults import DatabaseNotReady, UnsuitableDatabase
from event_service.store.requirements.topology import (
    Reply,
    check_role,
    check_topology,
    check_version,
    explain,
    reservations,
)

# As MongoDB 6.0.5 answers, without what nothing here reads.
PRIMARY = {
    "isWritablePrimary": True, "secondary": False, "setName": "rs0", "hosts": ["a:1", "b:2", "c:3"], "me": "a:1",
    "maxWireVersion": 17,
}  # fmt: skip
SECONDARY = {**PRIMARY, "isWritablePrimary": False, "secondary": True}
RECOVERING = {**PRIMARY, "isWritablePrimary": False}
NO_CONFIG = {"isWritablePrimary": False, "secondary": False, "isreplicaset": True, "maxWireVersion": 17}
STANDALONE = {"isWritablePrimary": True, "maxWireVersion": 17}
MONGOS = {"isWritablePrimary": True, "msg": "isdbgrid", "maxWireVersion": 17}

THREE = "mongodb://a:1,b:2,c:3/?replicaSet=rs0"


def without_data(data: int, arbiters: int) -> dict[str, Any]:
    """Return the `hello` of a primary in a set with so many data-bearing members and arbiters."""
    return {**PRIMARY, "hosts": [f"d:{n}" for n in range(data)], "arbiters": [f"x:{n}" for n in range(arbiters)]}


@pytest.mark.parametrize("hello", [PRIMARY, MONGOS, without_data(2, 1), without_data(1, 0), without_data(3, 2)])
def test_replica_set_or_mongos_passes(hello: dict[str, Any]) -> None:
    check_role(hello, "a:1")
    check_version(hello, "6.0.5")
    explain({"a:1": {**hello, "me": "a:1"}}, "mongodb://a:1/")


@pytest.mark.parametrize(
    ("hello", "problem", "advice"),
    [
        (
            STANDALONE,
            "a:1 is a standalone mongod",
            "start it with --replSet and run rs.initiate()",
        ),
        ({**PRIMARY, "configsvr": 2}, "a:1 is a config server of a sharded cluster", "name the cluster's mongos"),
        ({**PRIMARY, "isImplicitDefaultMajorityWC": True}, "a:1 is a shard", "name the cluster's mongos"),
        ({**PRIMARY, "lastCommittedOpTime": 1}, "a:1 is a shard", "name the cluster's mongos"),
        (without_data(1, 1), "only 1 of the 2 members of the replica set 'rs0' hold data", "replace the arbiter x:0"),
        (without_data(2, 3), "only 2 of the 5 members", "remove it with rs.remove()"),
    ],
)
def test_unsuitable_server_is_refused_with_advice(hello: dict[str, Any], problem: str, advice: str) -> None:
    with pytest.raises(UnsuitableDatabase) as caught:
        check_role(hello, "a:1")
    assert problem in caught.value.problem
    assert advice in caught.value.advice
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hello", [{**PRIMARY, "maxWireVersion": 8}, {**MONGOS, "maxWireVersion": 6}, {}])
def test_server_older_than_4_4_is_refused(hello: dict[str, Any]) -> None:
    with pytest.raises(UnsuitableDatabase, match=r"it is MongoDB 4\.2\.6: use MongoDB 4\.4 or later"):
        check_version(hello, "4.2.6")


def test_arbiter_and_old_version_are_reservations() -> None:
    assert reservations(PRIMARY, "6.0.5") == ()
    assert reservations(MONGOS, "8.0.4") == ()
    old, arbiter = reservations(without_data(2, 1), "5.0.31")
    assert old == ("MongoDB 5.0.31 has reached its end of life", "use MongoDB 7.0 or 8.0")
    assert arbiter.problem.startswith("the arbiter x:0 holds no data")


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"a:1": "Connection refused", "b:2": "timed out"}, "cannot reach a:1: Connection refused, b:2: timed out"),
        ({"a:1": NO_CONFIG}, "a:1 has no valid replica set configuration: run rs.initiate() on it once"),
        (
            {"a:1": SECONDARY, "b:2": "Connection refused", "c:3": RECOVERING},
            "the replica set 'rs0' has no primary: a:1 is a secondary, c:3 is recovering or in its initial sync, "
            "b:2 is unreachable (Connection refused): start a majority of the members",
        ),
        ({"a:1": SECONDARY, "b:2": SECONDARY}, "b:2 is a secondary: wait for the election"),
        ({"a:1": SECONDARY, "b:2": NO_CONFIG}, "b:2 has no valid configuration"),
        (
            {"localhost:9": {**PRIMARY, "me": "mongo:1"}, "mongo:1": "Name or service not known"},
            "localhost:9 calls itself mongo:1, which is unreachable from this host (Name or service not known)",
        ),
    ],
)
def test_transient_states_are_not_ready(asked: dict[str, Reply], text: str) -> None:
    with pytest.raises(DatabaseNotReady) as caught:
        explain(asked, THREE)
    assert text in caught.value.message
    assert "\n" not in caught.value.message


def test_direct_connection_to_a_secondary_names_the_primary() -> None:
    with pytest.raises(DatabaseNotReady, match="b:2 is a secondary and accepts no writes: name a:1, or all members"):
        explain({"b:2": SECONDARY, "a:1": PRIMARY}, "mongodb://b:2/?directConnection=true")


@pytest.mark.parametrize("hello", [STANDALONE, {**PRIMARY, "configsvr": 2}, without_data(1, 1)])
def test_unsuitable_server_among_others_is_final(hello: dict[str, Any]) -> None:
    with pytest.raises(UnsuitableDatabase):
        explain({"a:1": "Connection refused", "b:2": hello}, THREE)


def test_other_replica_set_than_in_the_uri_is_final() -> None:
    with pytest.raises(UnsuitableDatabase, match="names the replica set 'events', but the servers belong to 'rs0'"):
        explain({"a:1": PRIMARY}, "mongodb://a:1/?replicaSet=events")


def test_unreachable_server_is_named_without_the_password() -> None:
    uri = "mongodb://user:hunter2@127.0.0.1:1/?serverSelectionTimeoutMS=250"
    database = connect(Settings(), uri)
    with pytest.raises(DatabaseNotReady) as caught:
        check_topology(database, uri)
    close(database)
    assert caught.value.problem == "cannot reach 127.0.0.1:1: Connection refused"
    assert caught.value.advice == "start it, or correct EVENT_SERVICE_MONGODB_URI"
