"""kill -9 of the service and of its database under load: what was acknowledged is there, and there once.

`make chaos` goes through more rounds (EVENT_SERVICE_TEST_ROUNDS).
"""

import os
import random
import time
from collections.abc import Callable

import psutil
import pytest

from tests.e2e.service import Service
from tests.e2e.writers import Writers

ROUNDS = int(os.environ.get("EVENT_SERVICE_TEST_ROUNDS", "10"))


def database_process(service: Service) -> psutil.Process:
    """The embedded database: the service's child."""
    children = psutil.Process(service.pid).children()
    databases = [child for child in children if "secantus" in " ".join(child.cmdline()) or "mongod" in child.name()]
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


def stored(service: Service, webhook: tuple[str, str]) -> dict[str, int]:
    """How often each event_key is stored."""
    group = {"keys": [{"k": "event_key", "n": "key"}], "fields": [{"o": "count", "n": "count"}]}
    query = {"filter": [{"k": "webhook_id", "v": webhook[0], "o": "eq"}], "aggregate": [{"group": group}]}
    return {row["key"]: row["count"] for row in service.call("Event", "stat", {"query": query})["results"]}


@pytest.mark.chaos
@pytest.mark.timeout(60 + 30 * ROUNDS)
@pytest.mark.parametrize("kill", [kill_service, kill_database])
def test_nothing_acknowledged_is_lost_or_doubled(
    make_service: Callable[..., Service], kill: Callable[[Service], None]
) -> None:
    chance = random.Random(f"{kill.__name__}")
    service = make_service().start()
    webhook = service.create_webhook("under fire")
    acknowledged: set[str] = set()
    for turn in range((ROUNDS + 1) // 2):
        writers = Writers(service, webhook)
        writers.start()
        time.sleep(chance.uniform(0.3, 1.2))
        kill(service)
        bring_back(service)
        writers.finish()
        assert writers.unexpected == []
        acknowledged |= writers.acknowledged
        found = stored(service, webhook)
        assert acknowledged - found.keys() == set(), f"lost in round {turn}"
        assert {key: count for key, count in found.items() if count != 1} == {}, f"doubled in round {turn}"
    assert service.stop() == 0
    assert len(acknowledged) > 8 * ROUNDS // 2
