"""kill -9 of the service and of its database under load: acknowledged events are stored exactly once.

`make chaos` goes through more rounds (EVENT_SERVICE_TEST_ROUNDS).
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable

import psutil
import pytest

from tests.e2e.service import Service
from tests.e2e.writers import Writers, check_alerts, stored

ROUNDS = int(os.environ.get("EVENT_SERVICE_TEST_ROUNDS", "5"))


def database_process(service: Service) -> psutil.Process:
    """Return the embedded database: the service's child."""
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
    """Wait until it serves again, as a supervisor would: started anew where it has ended."""
    deadline = time.monotonic() + 60
    while service.health() != "SERVING":
        assert time.monotonic() < deadline, service.log[-3000:]
        assert service.process is not None
        if service.process.poll() is not None:
            service.spawn()
        time.sleep(0.05)


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
