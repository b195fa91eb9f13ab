"""The service is killed at every write of a batch: the next start or a retry recovers."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
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
WRITES: list[Write] = [
    ("insert", "idempotency_key", 0),
    ("insert", "alert", 0),
    ("update", "condition", 0),
    ("insert", "event", 0),
    ("update", "alert", 0),
    ("update", "condition", 1),
    ("update", "idempotency_key", 0),
]
POINTS = scaled(
    [(WRITES[3], True), (WRITES[4], True), (WRITES[6], False)],
    [(write, before) for write in WRITES for before in (True, False)],
)


@pytest.fixture
def database(database_uri: str, database_name: str) -> Iterator[Database]:
    """Yield the service's database, read without the service."""
    with MongoClient[dict[str, Any]](database_uri, tz_aware=True) as client:
        yield client[database_name]


def name_of(point: tuple[Write, bool]) -> str:
    (command, collection, nth), before = point
    return f"{'before' if before else 'after'}-{command}-{collection}-{nth + 1}"


@pytest.mark.parametrize("point", POINTS, ids=name_of)
def test_crash_between_two_writes_of_a_batch_is_recovered(
    make_service: MakeService, proxy: MongoProxy, database: Database, point: tuple[Write, bool]
) -> None:
    service = make_service(proxy.uri).start()
    webhook = service.create_webhook()
    service.create_event(webhook, {"event_key": "old"})
    payload = {"results": [{"event_key": "old", "event_type": "RECOVERY"}, {"event_key": "new"}]}

    crash(service, proxy, point, lambda: service.create_event(webhook, payload, idempotency_key="k"))
    start_later(service, database)
    recovered = database["event"].count_documents({"event_type": "RECOVERY"})
    assert states(database)["old"] == ("RESOLVED" if recovered else "TRIGGERED")

    for _ in range(2):
        service.create_event(webhook, payload, idempotency_key="k")
    rows = events_of(service, webhook)
    assert sorted((row["event_key"], row["event_type"]) for row in rows) == [
        ("new", "ALERT"), ("old", "ALERT"), ("old", "RECOVERY"),
    ]  # fmt: skip
    assert len({row["alert_id"] for row in rows if row["event_key"] == "old"}) == 1
    assert states(database) == {"old": "RESOLVED", "new": "TRIGGERED"}
    assert database["alert"].count_documents({}) == 2
    assert service.stop() == 0


def test_crash_between_two_parts_of_a_large_batch_is_recovered(
    make_service: MakeService, proxy: MongoProxy, database: Database
) -> None:
    """Events of more bytes than one command takes are written by several."""
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
    start_later(service, database)
    for _ in range(2):
        service.create_event(webhook, payload, idempotency_key="k")
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


def start_later(service: Service, database: Database) -> None:
    """Restart it, and wait until it has completed pending resolutions."""
    # A start leaves alone what may still be under way at another replica: this crash is made to look a minute old.
    past = datetime.now(UTC) - timedelta(minutes=2)
    database["condition"].update_many({"pending_since": {"$exists": True}}, {"$set": {"pending_since": past}})
    service.start()
    wait_until(lambda: database["condition"].count_documents({"pending_since": {"$exists": True}}) == 0)


def states(database: Database) -> dict[str, str]:
    """Return the state of each event_key's alert."""
    alerts = {row["alert_id"]: row["state"] for row in database["alert"].find()}
    return {row["event_key"]: alerts[row["alert"]["alert_id"]] for row in database["condition"].find()}


def test_every_acknowledged_write_is_journalled(make_service: MakeService, proxy: MongoProxy) -> None:
    """Every write of a create asks for the journal, or is followed by one that does: the journal is one log."""
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
            (command, command.get("writeConcern", {}))
            for command in written
            if next(iter(command)) in {"insert", "update", "delete"} and "webhook" not in command.values()
        ]
        assert {"idempotency_key", "condition", "alert", "event"} <= {
            str(command.get("insert") or command.get("update")) for command, _ in writes
        }
        late = [position for position, (_, concern) in enumerate(writes) if not concern.get("j")]
        assert all(concern.get("w") == "majority" for _, concern in writes), writes
        assert all(any(concern.get("j") for _, concern in writes[position:]) for position in late), writes
        assert all(concern.get("j") for command, concern in writes if "insert" in command), writes
    assert service.stop() == 0
