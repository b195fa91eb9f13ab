"""Response times do not reveal the cause of a refusal: another tenant's id takes as long as a missing one.

`make chaos` measures 500 calls of each (EVENT_SERVICE_TEST_ROUNDS times 10), `make test` 100, and is less strict.
"""

import os
import statistics
import time
from collections.abc import Callable

import grpc
import pytest

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, webhook_pb2
from tests.e2e.foreign import ForeignClient
from tests.e2e.trust.conftest import Door, Trust

pytestmark = pytest.mark.xdist_group("trust")

ROUNDS = int(os.environ.get("EVENT_SERVICE_TEST_ROUNDS", "0"))
CALLS = max(100, 10 * ROUNDS)
# A busy machine disturbs few calls more than many.
APART = 1.2 if ROUNDS else 1.5

Ask = Callable[[str], None]


def medians(ask: Ask, foreign: str, missing: str) -> tuple[float, float]:
    """Return seconds that a call takes for each id. They take turns, so that whatever else goes on meets both."""
    times: dict[str, list[float]] = {foreign: [], missing: []}
    for one in (foreign, missing) * (CALLS + 5):
        started = time.perf_counter()
        ask(one)
        times[one].append(time.perf_counter() - started)
    first, second = (statistics.median(found[5:]) for found in times.values())
    return first, second


@pytest.mark.chaos
@pytest.mark.parametrize("resource", ["Event", "Webhook"])
def test_a_foreign_id_takes_as_long_as_a_missing_one(trust: Trust, plain_client: ForeignClient, resource: str) -> None:
    door = Door(plain_client)
    other = trust.realm.metadata("WORKSPACE_OWNER", did="domain-2")
    wanted = {"name": "foreign", "project_id": "project-1", "plugin_info": {"plugin_id": "native"}}
    webhook = door.ask("Webhook", "create", wanted, **other)
    sender = {name: webhook[name] for name in ("webhook_id", "access_key")}
    door.ask("Event", "create", {**sender, "data": {"event_key": "k"}})
    (event,) = door.ask("Event", "list", {"webhook_id": webhook["webhook_id"]}, **other)["results"]
    foreign = event["event_id"] if resource == "Event" else webhook["webhook_id"]
    missing = foreign[:-12] + "0" * 12
    metadata = tuple(trust.realm.metadata("WORKSPACE_OWNER").items())
    request = event_pb2.EventRequest if resource == "Event" else webhook_pb2.WebhookRequest
    with trust.plain.channel() as channel:
        get = channel.unary_unary(f"/spaceone.api.monitoring.v1.{resource}/get")

        def ask(one: str) -> None:
            with pytest.raises(grpc.RpcError) as caught:
                get(request(**{f"{resource.lower()}_id": one}).SerializeToString(), metadata=metadata, timeout=30)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND

        for _ in range(3):  # once may be chance
            one, other_one = medians(ask, foreign, missing)
            if max(one, other_one) < APART * min(one, other_one):
                return
    raise AssertionError(f"{one * 1000:.2f} ms for a foreign id, {other_one * 1000:.2f} ms for a missing one")
