"""Replicas whose clocks are wrong: they go by the database's time, so that nothing is missed or miscounted."""

from pathlib import Path

import httpx
import pytest

from tests.chaos.conftest import MakeService
from tests.chaos.scale import scaled
from tests.chaos.watch import Watch
from tests.e2e.service import CHECKOUT, Service
from tests.waiting import wait_until

LIBRARIES = sorted((CHECKOUT / ".tools" / "debian").glob("usr/lib/*/faketime/libfaketimeMT.so.1"))
EVENTS = scaled(20, 500)

pytestmark = pytest.mark.skipif(not LIBRARIES, reason="make test-tools has not unpacked it")


@pytest.fixture
def wrong_clock(tmp_path: Path) -> tuple[dict[str, str], Path]:
    """Return the environment of a process with another time, and the file that sets it: `-15s`, `+2h`, `+3d`."""
    path = tmp_path / "clock"
    path.write_text("+0")
    environment = {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME_TIMESTAMP_FILE": str(path),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    return environment, path


def number_of_events(service: Service, **query: object) -> int:
    return int(service.call("Event", "list", {"query": {"count_only": True, **query}}).get("total_count", 0))


@pytest.mark.parametrize("offset", scaled(["-45s", "+3d"], ["-15s", "-45s", "+2h", "+3d"]))
def test_events_of_a_replica_with_a_wrong_clock_are_watched_and_counted(
    make_service: MakeService, database_uri: str, wrong_clock: tuple[dict[str, str], Path], offset: str
) -> None:
    environment, clock_file = wrong_clock
    right = make_service(database_uri).start()
    webhook = right.create_webhook()
    clock_file.write_text(offset)
    wrong = make_service(database_uri, **environment).start()
    sent = 0
    with Watch(right, webhook) as watch:
        for writer in (wrong, right, wrong, right):
            for number in range(EVENTS // 4):
                writer.create_event(webhook, {"event_key": f"{sent}-{number}"})
            sent += EVENTS // 4
            for reader in (right, wrong):
                wait_until(
                    lambda reader=reader, sent=sent: number_of_events(reader) == sent
                )  # totals may be a second old
        wait_until(lambda: len(watch.received) == sent)
    hour = [{"k": "created_at", "v": "now-1h", "o": "timediff_gte"}]
    wait_until(lambda: [number_of_events(reader, filter=hour) for reader in (right, wrong)] == [sent, sent])
    skew = httpx.get(f"http://{wrong.http_address}/readyz").json()["clock_skew_seconds"]
    seconds = int(offset[:-1]) * {"s": 1, "h": 3600, "d": 86400}[offset[-1]]
    assert skew == pytest.approx(seconds, abs=2)
    assert "clock differs from the database's" in wrong.log


def test_clock_set_forward_and_back_moves_no_event(
    make_service: MakeService, database_uri: str, wrong_clock: tuple[dict[str, str], Path]
) -> None:
    environment, clock_file = wrong_clock
    service = make_service(database_uri, **environment).start()
    webhook = service.create_webhook()
    sent = 0
    with Watch(service, webhook) as watch:
        for offset in ("+0", "+2h", "+0", "-2h", "+0"):
            clock_file.write_text(offset)
            for number in range(EVENTS // 4):
                service.create_event(webhook, {"event_key": f"{sent}-{number}"})
            sent += EVENTS // 4
        wait_until(lambda: len(watch.received) == sent)
    rows = service.call("Event", "list", {"query": {"sort": [{"key": "created_at"}]}})["results"]
    assert [row["event_key"].partition("-")[0] for row in rows] == sorted(
        (row["event_key"].partition("-")[0] for row in rows), key=int
    )
