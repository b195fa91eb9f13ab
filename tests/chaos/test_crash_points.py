"""The service is killed at every write of a batch: nothing of it is stored, and a retry stores all of it."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from pymongo import MongoClient

from event_service.store.client import Database
from tests.chaos.caller import events_of
from tests.chaos.conftest import MakeService
from tests.chaos.mongodb_proxy import MongoProxy, Trap
from tests.chaos.scale import scaled
from tests.e2e.service import Service
from tests.waiting import wait_until

Write = tuple[str, str, int]

# Every write of a batch in its order: command, collection, how many of the kind go before it.
COMMIT: Write = ("commitTransaction", "", 0)

# Every write of a batch in its order: command, collection, how many of the kind go before it.
WRITES: list[Write] = [
    ("insert", "alert", 0),
    ("update", "condition", 0),
    ("insert", "condition", 0),
    ("insert", "event", 0),
    ("update", "alert", 0),
    ("insert", "idempotency_key", 0),
    COMMIT,
]
POINTS = scaled(
    [(WRITES[3], True), (COMMIT, True), (COMMIT, False)],
    [(write, before) for write in WRITES for before in (True, False)],
)


@pytest.fixture
def database(database_uri: str, database_name: str) -> Iterator[Database]:
    """Yield the service's database, read without the service."""
    with MongoClient[dict[str, Any]](database_uri, tz_aware=True) as client:
        yield client[database_name]


def name_of(point: tuple[Write, bool]) -> str:
    (command, collection, nth), before = point
    return "-".join(["before" if before else "after", command, *([collection] if collection else []), str(nth + 1)])


@pytest.mark.parametrize("point", POINTS, ids=name_of)
def test_crash_between_two_writes_of_a_batch_stores_nothing_of_it(
    make_service: MakeService, proxy: MongoProxy, database: Database, point: tuple[Write, bool]
) -> None:
    service = make_service(proxy.uri).start()
    webhook = service.create_webhook()
    service.create_event(webhook, {"event_key": "old"})
    payload = {"results": [{"event_key": "old", "event_type": "RECOVERY"}, {"event_key": "new"}]}

    crash(service, proxy, point, lambda: service.create_event(webhook, payload, idempotency_key="k"))
    service.start()
    if point == (COMMIT, False):
        assert states(database) == {"old": "RESOLVED", "new": "TRIGGERED"}
    else:
        assert states(database) == {"old": "TRIGGERED"}
        assert database["event"].count_documents({}) == 1

    for _ in range(2):
        send_until_ok(service, webhook, payload)
    rows = events_of(service, webhook)
    assert sorted((row["event_key"], row["event_type"]) for row in rows) == [
        ("new", "ALERT"), ("old", "ALERT"), ("old", "RECOVERY"),
    ]  # fmt: skip
    assert len({row["alert_id"] for row in rows if row["event_key"] == "old"}) == 1
    assert states(database) == {"old": "RESOLVED", "new": "TRIGGERED"}
    assert database["alert"].count_documents({}) == 2
    assert service.stop() == 0


def test_crash_between_two_parts_of_a_large_create_is_recovered(
    make_service: MakeService, proxy: MongoProxy, database: Database
) -> None:
    """Events of more bytes than one transaction takes are written by several."""
    service = make_service(proxy.uri).start()
    webhook = service.create_webhook()
    service.create_event(webhook, {"event_key": "old"})
    heavy = [{"event_key": f"heavy-{number}", "text": "x" * 2_200_000} for number in range(4)]
    payload = {"results": [{"event_key": "old", "event_type": "RECOVERY"}, *heavy]}

    crash(
        service,
        proxy,
        (("insert", "event", 1), True),
        lambda: service.create_event(webhook, payload, idempotency_key="k"),
    )
    assert 1 < database["event"].count_documents({}) < 6
    service.start()
    for _ in range(2):
        send_until_ok(service, webhook, payload)
    assert sorted(database["event"].distinct("event_key")) == [*(event["event_key"] for event in heavy), "old"]
    assert database["event"].count_documents({}) == 6
    assert states(database) == {"old": "RESOLVED", **{event["event_key"]: "TRIGGERED" for event in heavy}}
    assert service.stop() == 0


def crash(service: Service, proxy: MongoProxy, point: tuple[Write, bool], send: Callable[[], None]) -> None:
    """Kill the service when what is sent gets to the given write."""
    (command, collection, skip), before = point
    proxy.trap = Trap(command, collection, before, service.kill, skip)
    with pytest.raises(grpc.RpcError) as failed:
        send()
    assert failed.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    assert proxy.trap.sprung.is_set()


def send_until_ok(service: Service, webhook: tuple[str, str], payload: dict[str, Any]) -> None:
    """Send as a sender does: the killed service's transaction locks its conditions until mongod aborts it."""

    def sent() -> bool:
        try:
            service.create_event(webhook, payload, idempotency_key="k")
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
                raise
            return False
        return True

    wait_until(sent, 60)


def states(database: Database) -> dict[str, str]:
    """Return the state of each event_key's alert."""
    alerts = {row["alert_id"]: row["state"] for row in database["alert"].find()}
    return {row["event_key"]: alerts[row["alert"]["alert_id"]] for row in database["condition"].find()}


def test_every_acknowledged_write_is_journalled(make_service: MakeService, proxy: MongoProxy) -> None:
    """Every write of a create is in a transaction, which asks for the journals of a majority."""
    service = make_service(proxy.uri).start()
    webhook = service.create_webhook()
    service.create_event(webhook, {"event_key": "old"})
    story = [
        {"event_key": f"key-{number}", "event_type": kind} for kind in ("ALERT", "RECOVERY") for number in range(9)
    ]
    for number, payload in enumerate([{"event_key": "new"}, {"results": story}]):
        proxy.commands = []
        service.create_event(webhook, payload, idempotency_key=f"k{number}")
        written, proxy.commands = proxy.commands, None
        writes = [
            command
            for command in written
            if next(iter(command)) in {"insert", "update", "delete"} and "webhook" not in command.values()
        ]
        assert {"idempotency_key", "condition", "alert", "event"} <= {
            str(command.get("insert") or command.get("update")) for command in writes
        }
        (commit,) = (command for command in written if "commitTransaction" in command)
        assert (commit["writeConcern"]["w"], commit["writeConcern"]["j"]) == ("majority", True)
        assert {(one["lsid"]["id"], one["txnNumber"], one["autocommit"]) for one in writes} == {
            (commit["lsid"]["id"], commit["txnNumber"], False)
        }
    assert service.stop() == 0
