"""Two replicas that write to one condition at the same time leave alerts and conditions that agree."""

import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from event_service.settings import Settings
from event_service.store.client import close, connect
from event_service.store.maintenance.alert_states import Disagreements, find
from tests.chaos.scale import ROUNDS
from tests.e2e.service import Service
from tests.waiting import wait_until

Webhook = tuple[str, str]

TURNS = max(30, 6 * ROUNDS)

DATABASE = "two_replicas"

ALERT: Mapping[str, Any] = {"event_type": "ALERT"}
RECOVERY: Mapping[str, Any] = {"event_type": "RECOVERY"}
OUTDATED: Mapping[str, Any] = {
    "event_type": "RECOVERY",
    "occurred_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
}

RACES = {
    "alert | recovery": ([], ALERT, RECOVERY),
    "alert | recovery, after a resolved one": ([ALERT, RECOVERY], ALERT, RECOVERY),
    "recovery | outdated recovery": ([ALERT], RECOVERY, OUTDATED),
}


def send(service: Service, webhook: Webhook, event: Mapping[str, Any]) -> None:
    """Send as a sender does: again, if the service asks for it."""

    def sent() -> bool:
        try:
            service.create_event(webhook, event)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
                raise
            return False
        return True

    wait_until(sent)


def write(
    together: threading.Barrier, pause: float, replica: Service, webhook: Webhook, event: Mapping[str, Any]
) -> None:
    together.wait()
    time.sleep(pause)
    send(replica, webhook, event)


@pytest.fixture(scope="module")
def replicas(database_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    """Yield two replicas; each race has a webhook of its own."""
    settings = {"EVENT_SERVICE_MONGODB_URI": database_uri, "EVENT_SERVICE_DATABASE": DATABASE}
    folder = tmp_path_factory.mktemp("replicas")
    with Service(folder / "first", settings) as first, Service(folder / "second", settings) as second:
        yield [first, second]


@pytest.mark.timeout(60 + TURNS)
@pytest.mark.parametrize("name", RACES)
def test_alerts_agree_with_conditions_after_a_race(replicas: list[Service], database_uri: str, name: str) -> None:
    before, *works = RACES[name]
    webhook = replicas[0].create_webhook()
    for turn in range(TURNS):
        key = {"event_key": f"key-{turn}"}
        for event in before:
            send(replicas[0], webhook, {**event, **key})
        together = threading.Barrier(2)
        threads = [
            threading.Thread(target=write, args=[together, turn % 4 * number / 2000, replica, webhook, {**work, **key}])
            for number, (replica, work) in enumerate(zip(replicas, works, strict=True))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    database = connect(Settings(database=DATABASE), database_uri)
    assert find(database, 5000) == Disagreements()
    opened = database["alert"].distinct("alert_id", {"state": {"$ne": "RESOLVED"}})
    assert set(opened) <= set(database["event"].distinct("alert_id"))
    assert len(opened) == database["condition"].count_documents({"open": True})
    close(database)
