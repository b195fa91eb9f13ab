"""Changes at one replica take effect at the other within a second."""

import time
from typing import Any

import pytest

from event_service._gen.event_service.v1 import webhooks_pb2
from tests.e2e.foreign import ForeignClient
from tests.e2e.trust.conftest import Door, Trust
from tests.e2e.trust.waiting import within_a_second

pytestmark = pytest.mark.xdist_group("trust")

ROTATE = "/event_service.v1.Webhooks/RotateKey"


class Pair:
    """One replica where webhooks are changed, and another that is delivered to."""

    def __init__(self, trust: Trust, here: Door, there: Door) -> None:
        self.trust, self.here, self.there = trust, here, there
        self.owner = trust.realm.metadata("WORKSPACE_OWNER")
        wanted = {"name": "replicated", "project_id": "project-1", "plugin_info": {"plugin_id": "native"}}
        self.webhook = here.ask("Webhook", "create", wanted, **self.owner)
        self.this = {"webhook_id": self.webhook["webhook_id"]}

    def change(self, method: str) -> None:
        self.here.ask("Webhook", method, self.this, **self.owner)

    def rotate(self, overlap: int) -> str:
        """Return the new key. SpaceONE's stubs do not know this rpc."""
        request = webhooks_pb2.RotateKeyRequest(webhook_id=self.this["webhook_id"], overlap_seconds=overlap)
        with self.trust.plain.channel() as channel:
            rpc = channel.unary_unary(ROTATE, request_serializer=webhooks_pb2.RotateKeyRequest.SerializeToString)
            reply = rpc(request, metadata=tuple(self.owner.items()), timeout=10)
        return webhooks_pb2.RotateKeyResponse.FromString(reply).webhook.access_key

    def deliver(self, access_key: str = "") -> str:
        """Return the code of a delivery to the other replica."""
        key = access_key or self.webhook["access_key"]
        return self.there.code("Event", "create", {**self.this, "access_key": key, "data": {"event_key": "k"}})


@pytest.fixture
def pair(trust: Trust, plain_client: ForeignClient, mutual_client: ForeignClient) -> Pair:
    made = Pair(trust, Door(plain_client), Door(mutual_client))
    assert made.deliver() == "OK"
    return made


@pytest.mark.parametrize(("method", "code"), [("disable", "INVALID_ARGUMENT"), ("delete", "NOT_FOUND")])
def test_deliveries_end(pair: Pair, method: str, code: str) -> None:
    pair.change(method)
    within_a_second(lambda: pair.deliver() == code)


def test_deliveries_begin_again(pair: Pair) -> None:
    pair.change("disable")
    within_a_second(lambda: pair.deliver() == "INVALID_ARGUMENT")
    pair.change("enable")
    within_a_second(lambda: pair.deliver() == "OK")


def test_a_rotated_key_ends_at_once(pair: Pair) -> None:
    new = pair.rotate(overlap=0)
    within_a_second(lambda: (pair.deliver(), pair.deliver(new)) == ("PERMISSION_DENIED", "OK"))


def test_a_rotated_key_holds_as_long_as_the_overlap_and_no_longer(pair: Pair) -> None:
    started = time.monotonic()
    new = pair.rotate(overlap=2)
    within_a_second(lambda: pair.deliver(new) == "OK")
    while time.monotonic() < started + 1.5:
        assert pair.deliver() == "OK"
        time.sleep(0.2)
    time.sleep(max(0.0, started + 2.1 - time.monotonic()))
    assert (pair.deliver(), pair.deliver(new)) == ("PERMISSION_DENIED", "OK")


def test_a_key_under_fire_holds_until_it_ends_and_never_after(pair: Pair) -> None:
    """A busy webhook is remembered for a while; not longer for being busy."""
    answers: list[tuple[float, str]] = []
    changed = time.monotonic()
    pair.change("disable")
    while time.monotonic() < changed + 1.6:
        asked = time.monotonic()
        answers.append((asked - changed, pair.deliver()))
    late = {code for asked, code in answers if asked > 1.0}
    assert late == {"INVALID_ARGUMENT"}
    assert len(answers) > 20


def test_both_open_one_alert(pair: Pair, trust: Trust) -> None:
    for door in (pair.here, pair.there, pair.here):
        request: dict[str, Any] = {**pair.this, "access_key": pair.webhook["access_key"], "data": {"event_key": "one"}}
        door.ask("Event", "create", request)
    filters = [{"k": name, "v": value, "o": "eq"} for name, value in (("event_key", "one"), *pair.this.items())]
    query = {"query": {"filter": filters, "distinct": "alert_id"}}
    assert len(pair.there.ask("Event", "stat", query, **pair.owner)["results"]) == 1
