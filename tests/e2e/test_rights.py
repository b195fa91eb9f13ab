"""A MongoDB with access control: `readWrite` on the one database is enough for everything, and less is named."""

import base64
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from event_service._gen.event_service.v1 import events_pb2, events_pb2_grpc
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from tests.e2e.refusals import assert_one_clear_line, refused_start
from tests.e2e.service import Service
from tests.e2e.trust.command_line import CommandLine
from tests.mongod import ReplicaSet

USERS: dict[str, list[dict[str, str]]] = {
    "service": [{"role": "readWrite", "db": "events"}],
    "reader": [{"role": "read", "db": "events"}],
    "nothing": [],
    "writer": [{"role": "no_indexes", "db": "events"}],
}
DENIED = "Checking authorization failed"  # mongod's log, of each command it refuses
NOT_INDEXES = ["find", "insert", "update", "remove", "changeStream", "listIndexes", "listCollections", "collStats"]


class Guarded:
    """A replica set of one that asks for a user; the service's database is `events`."""

    def __init__(self, replica_set: ReplicaSet) -> None:
        self._node = replica_set.nodes[0]

    @property
    def log(self) -> str:
        return self._node.log

    def uri(self, user: str = "", password: str = "word", **options: str) -> str:
        credentials = f"{user}:{password}@" if user else ""
        return f"mongodb://{credentials}{self._node.address}/?{'&'.join(f'{k}={v}' for k, v in options.items())}"

    def settings(self, user: str = "", **changes: str) -> dict[str, str]:
        return {"EVENT_SERVICE_MONGODB_URI": self.uri(user, **changes), "EVENT_SERVICE_DATABASE": "events"}

    def root(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self.uri("root"))

    def drop(self, name: str) -> None:
        with self.root() as client:
            client.drop_database(name)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    key = folder / "key"
    key.write_bytes(base64.b64encode(os.urandom(60)))
    key.chmod(0o600)
    with ReplicaSet(folder, nodes=1, arguments=["--keyFile", str(key)]) as replica_set:
        with replica_set.nodes[
            0
        ].client() as client:  # from this machine the first user may be created without authentication
            client.admin.command("createUser", "root", pwd="word", roles=["root"])
        made = Guarded(replica_set)
        with made.root() as client:
            role = {"resource": {"db": "events", "collection": ""}, "actions": NOT_INDEXES}
            client.events.command("createRole", "no_indexes", privileges=[role], roles=[])
            for name, roles in USERS.items():
                client.admin.command("createUser", name, pwd="word", roles=roles)
        yield made


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    for name in [name for name in os.environ if name.startswith("EVENT_SERVICE_")]:
        monkeypatch.delenv(name)
    line = CommandLine(monkeypatch, capsys)
    line.set(EVENT_SERVICE_DATA_DIR=str(tmp_path / "data"), EVENT_SERVICE_SERVER="127.0.0.1:1")
    return line


LACKING = "may not insert, update, remove in the database 'events': grant the role: db.getSiblingDB('admin')."

REFUSED = {
    "no credentials": ("", {}, "the MongoDB requires a user, and EVENT_SERVICE_MONGODB_URI names none: put USER:PASS"),
    "wrong password": ("service", {"password": "no"}, "refuses the user 'service' of the database 'admin' (Authentic"),
    "unknown source": ("service", {"authSource": "x"}, "refuses the user 'service' of the database 'x' (Authenticat"),
    "no roles": ("nothing", {}, "the user 'nothing' may not find, insert, update, remove, changeStream, listIndexes, "),
    "read only": ("reader", {}, f"the user 'reader' {LACKING}grantRolesToUser('reader', [{{role: 'readWrite', db: "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_doctor_and_db_name_missing_rights(guarded: Guarded, command_line: CommandLine, case: str) -> None:
    user, changes, said = REFUSED[case]
    command_line.set(**guarded.settings(user, **changes))
    status, out, _ = command_line.run("doctor", "--json")
    assert status == 1
    (fault,) = [finding for finding in json.loads(out) if finding["verdict"] == "fault"]
    assert fault["what"] == "database"
    problem, _, advice = said.partition(": ")
    assert problem in fault["detail"]
    assert advice[1:] in fault["advice"]
    assert problem in command_line.refusal("db", "prune", "--yes").replace("\n", " ")
    with guarded.root() as client:
        assert "events" not in client.list_database_names()


@pytest.mark.parametrize("case", ["wrong password", "read only"])
def test_serve_names_missing_rights(guarded: Guarded, tmp_path: Path, case: str) -> None:
    user, changes, said = REFUSED[case]
    done = refused_start(tmp_path, **guarded.settings(user, **changes))
    assert_one_clear_line(done, said)
    assert "does not answer yet" not in done.stderr


def test_read_write_on_the_one_database_is_enough_for_everything(
    guarded: Guarded, command_line: CommandLine, make_service: Callable[..., Service], tmp_path: Path
) -> None:
    guarded.drop("events")
    command_line.set(**guarded.settings("service"))
    refused_before = guarded.log.count(DENIED)
    command_line.out("db", "init")
    with make_service(**guarded.settings("service"), EVENT_SERVICE_LOG_LEVEL="debug") as service:
        webhook = service.create_webhook(retention_days=30)
        for number in range(3):
            service.create_event(webhook, {"event_key": f"key-{number}"}, idempotency_key=f"key-{number}")
        listed = service.call("Event", "list", {"webhook_id": webhook[0], "query": {"sort": [{"key": "event_key"}]}})
        assert [event["event_key"] for event in listed["results"]] == ["key-0", "key-1", "key-2"]
        group = {"keys": [{"k": "severity", "n": "s"}], "fields": [{"o": "count", "n": "n"}]}
        counted = {"aggregate": [{"group": group}]}
        assert service.call("Event", "stat", {"query": counted})["results"] == [{"s": "NONE", "n": 3}]
        assert service.call("Webhook", "list", {})["results"][0]["requests"]["total"] == "3"
        watch(service, webhook)
        assert "change streams are unavailable" not in service.log
        command_line.out("db", "check")
        assert service.health() == "SERVING"
        assert service.stop() == 0
    with guarded.root() as client:
        (ttl,) = [index for index in client["events"]["event"].list_indexes() if "expireAfterSeconds" in index]
        assert dict(ttl["key"]) == {"expire_at": 1}
        client["events"]["event"].update_one(
            {"event_key": "key-0"}, {"$set": {"created_at": datetime.now(UTC) - timedelta(days=31)}}
        )
    assert command_line.json("db", "migrate") == {
        "access_keys": 0,
        "events": 0,
        "events_left": 0,
        "alerts": 0,
        "alerts_completed": 0,
    }
    assert command_line.json("db", "prune", "--yes")["deleted"] == 1
    command_line.out("db", "backup", tmp_path / "backup.zip")
    restored = command_line.json("db", "restore", tmp_path / "backup.zip", "--replace", "--yes")
    assert restored["documents"]["event"] == 3
    found = {finding["what"]: finding for finding in command_line.json("doctor")}
    assert found["database"]["detail"].startswith("MongoDB ")
    assert found["database"]["detail"].endswith("events can be written and read; its indexes exist")
    command_line.set(**guarded.settings("reader"))
    command_line.out("db", "check")
    command_line.out("db", "prune", "--dry-run")
    command_line.out("db", "backup", tmp_path / "again.zip")
    assert guarded.log.count(DENIED) == refused_before


def watch(service: Service, webhook: tuple[str, str]) -> None:
    """Store an event, and receive it in a watch."""
    request = events_pb2.WatchRequest(query=event_pb2.EventQuery(webhook_id=webhook[0]))
    with service.channel() as channel:
        call = events_pb2_grpc.EventsStub(channel).Watch(request, timeout=60)
        next(call)  # it is live
        service.create_event(webhook, {"event_key": "watched"})
        assert next(reply for reply in call if reply.HasField("event")).event.event_key == "watched"
        call.cancel()


def test_indexes_may_be_created_by_another_user(
    guarded: Guarded, command_line: CommandLine, make_service: Callable[..., Service]
) -> None:
    guarded.drop("events")
    refused_before = guarded.log.count(DENIED)
    command_line.set(**guarded.settings("writer"))
    assert "may not createCollection, createIndex" in command_line.refusal("db", "init").replace("\n", " ")
    _, out, _ = command_line.run("doctor", "--json")
    (fault,) = [finding for finding in json.loads(out) if finding["verdict"] == "fault"]
    assert fault["detail"].startswith("the user of EVENT_SERVICE_MONGODB_URI may not create")
    assert guarded.log.count(DENIED) > refused_before
    command_line.set(**guarded.settings("service"))
    command_line.out("db", "init")
    with make_service(**guarded.settings("writer")) as service:
        service.create_event(service.create_webhook(), {"event_key": "key"})
