"""Failures of a replica set of three: no acknowledged event is lost, stored twice or missing in Watch."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from pymongo.errors import PyMongoError

from tests.chaos.scale import ROUNDS, scaled
from tests.chaos.watch import Watch
from tests.e2e.service import Service
from tests.e2e.writers import Writers, check_alerts, stored
from tests.mongod import Node, ReplicaSet
from tests.waiting import wait_until

Failure = Callable[[ReplicaSet, random.Random], None]
FAILURES: dict[str, Failure] = {}
TURNS = scaled(1, max(ROUNDS // 5, 1))
MINORITY_SECONDS = scaled(1.5, 5.0)


def failure(function: Failure) -> Failure:
    FAILURES[function.__name__] = function
    return function


@failure
def primary_killed(replica_set: ReplicaSet, chance: random.Random) -> None:
    replica_set.primary().kill()
    replica_set.primary()


@failure
def primary_stepped_down(replica_set: ReplicaSet, chance: random.Random) -> None:
    replica_set.step_down()


@failure
def majority_away(replica_set: ReplicaSet, chance: random.Random) -> None:
    """Both secondaries hang, or die and come back."""
    take_away = chance.choice([Node.pause, Node.kill])
    for node in replica_set.secondaries():
        take_away(node)
    time.sleep(MINORITY_SECONDS)


@failure
def writes_rolled_back(replica_set: ReplicaSet, chance: random.Random) -> None:
    """The primary goes on alone, and is gone when the others come back and elect one of them."""
    old, others = replica_set.primary(), replica_set.secondaries()
    before = rollbacks(old)
    for node in others:
        node.kill()
    time.sleep(0.5)
    old.kill()  # a paused one would keep those waiting that ask it what they have missed
    for node in others:
        node.spawn()
    replica_set.step_up(others[0])
    old.spawn()
    wait_until(lambda: rollbacks(old) > before, 30, lambda: "it had nothing to roll back")


def rollbacks(node: Node) -> int:
    """Return the number of rollbacks, or -1 if the node is not available."""
    with node.client() as client:
        try:
            return int(client.admin.command("replSetGetRBID")["rbid"])
        except PyMongoError:
            return -1


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, replica_set: ReplicaSet) -> Iterator[Service]:
    """Yield one for all failures, as in life."""
    with Service(tmp_path_factory.mktemp("service"), {"EVENT_SERVICE_MONGODB_URI": replica_set.uri}) as running:
        yield running


@pytest.mark.timeout(120 + 60 * TURNS)
@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES.keys())
def test_nothing_acknowledged_is_lost(service: Service, replica_set: ReplicaSet, fail: Failure) -> None:
    chance = random.Random(fail.__name__)
    webhook = service.create_webhook(fail.__name__)
    acknowledged: Counter[tuple[str, str]] = Counter()
    refused: list[float] = []
    with Watch(service, webhook) as watch:
        for turn in range(TURNS):
            writers = Writers(service, webhook)
            writers.start()
            time.sleep(chance.uniform(0.5, 1.0))
            fail(replica_set, chance)
            replica_set.repair()
            mended_at = time.monotonic()
            wait_until(lambda writers=writers, since=mended_at: writers.times and writers.times[-1] > since + 0.3, 60)
            writers.finish()
            assert writers.unexpected == []
            acknowledged += writers.acknowledged
            refused.append(max(after - before for before, after in pairwise(sorted(writers.times))))
            rows = stored(service, webhook)
            found = Counter((row["event_key"], row["event_type"]) for row in rows)
            assert acknowledged - found == Counter(), f"lost in round {turn}"
            assert found - acknowledged == Counter(), f"doubled in round {turn}"
            check_alerts(rows)
            ids = {row["event_id"] for row in rows}
            wait_until(lambda ids=ids: ids <= watch.received, 30, lambda turn=turn: f"not watched in round {turn}")
    print(
        f"{fail.__name__}: {acknowledged.total()} events written, 0 lost, 0 doubled, "
        f"refused {min(refused):.1f}-{max(refused):.1f} s"
    )
