"""kill -9 of the service and of its database under load: what was acknowledged is there, and there once.

`make chaos` goes through more rounds (EVENT_SERVICE_TEST_ROUNDS).
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from tests.e2e.service import Service
from tests.e2e.writers import Writers

ROUNDS = int(os.environ.get("EVENT_SERVICE_TEST_ROUNDS", "5"))


def database_process(service: Service) -> psutil.Process:
    """The embedded database: the service's child."""
    children = psutil.Process(service.pid).children()
    databases = [child for child in children if "mongod" in child.name()]
    assert len(databases) == 1, children
    return databases[0]


def kill_service(service: Service) -> None:
    database = database_process(service)
    service.kill()
    # It must not outlive the service: it would keep the lock on the data directory.
    database.wait(timeout=10)


def kill_database(service: Service) -> None:
    database_process(service).kill()


def bring_back(service: Service) -> None:
    """Waits until it serves again, as a supervisor would: started anew where it has ended."""
    deadline = time.monotonic() + 60
    while service.health() != "SERVING":
        assert time.monotonic() < deadline, service.log[-3000:]
        assert service.process is not None
        if service.process.poll() is not None:
            service.spawn()
        time.sleep(0.05)


def stored(service: Service, webhook: tuple[str, str]) -> list[dict[str, Any]]:
    """Key, type and alert of every event, in the order they were received."""
    query = {
        "only": ["event_key", "event_type", "alert_id"],
        "sort": [{"key": "created_at"}],
        "page": {"limit": 1_000_000},
    }
    reply = service.call("Event", "list", {"webhook_id": webhook[0], "query": query})
    assert len(reply["results"]) == reply["total_count"]
    return list(reply["results"])


def check_alerts(rows: list[dict[str, Any]]) -> None:
    """A recovery belongs to the alert before it, and what comes after it to another one."""
    alerts: dict[str, list[str]] = {}
    for row in rows:
        alerts.setdefault(row["event_key"], []).append(row["alert_id"])
    for event_key, (first, *more) in alerts.items():
        assert more[:1] in ([], [first]), f"the recovery of {event_key} has another alert"
        assert first not in more[1:], f"the alert of {event_key} was not resolved by its recovery"


@pytest.mark.chaos
@pytest.mark.timeout(60 + 30 * ROUNDS)
@pytest.mark.parametrize("kill", [kill_service, kill_database])
def test_nothing_acknowledged_is_lost_or_doubled(
    make_service: Callable[..., Service], kill: Callable[[Service], None]
) -> None:
    chance = random.Random(f"{kill.__name__}")
    service = make_service().start()
    webhook = service.create_webhook("under fire")
    acknowledged: Counter[tuple[str, str]] = Counter()
    for turn in range((ROUNDS + 1) // 2):
        writers = Writers(service, webhook)
        writers.start()
        time.sleep(chance.uniform(0.3, 1.2))
        kill(service)
        bring_back(service)
        writers.finish()
        assert writers.unexpected == []
        acknowledged += writers.acknowledged
        rows = stored(service, webhook)
        found = Counter((row["event_key"], row["event_type"]) for row in rows)
        assert acknowledged - found == Counter(), f"lost in round {turn}"
        assert found - acknowledged == Counter(), f"doubled in round {turn}"
        check_alerts(rows)
    assert service.stop() == 0
    assert acknowledged.total() > 8 * ROUNDS // 2
