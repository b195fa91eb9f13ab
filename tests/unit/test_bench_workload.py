"""bench/workload.py and compare.py: what is asked, and in which order."""

import pytest

from bench.arithmetic import Run
from bench.compare import AIMS, READS, _round, _rows
from bench.servers import Target
from bench.workload import Names, message_maker, method_of, read_messages
from event_service._gen.event_service.v1 import ingest_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2

NAMES = Names("webhook-1", "key", ("event-1", "event-2"), {"token": "t"})


def test_each_create_is_another_event() -> None:
    make = message_maker("create", NAMES)
    sent = [event_pb2.CreateEventRequest.FromString(make()) for _ in range(20)]
    assert {message.webhook_id for message in sent} == {"webhook-1"}
    assert len({message.data["event_key"] for message in sent}) == 20
    assert all(message.data["title"] == "load" for message in sent)


def test_each_payload_of_a_batch_is_another_event() -> None:
    make = message_maker("batch3", NAMES)
    sent = [ingest_pb2.CreateBatchRequest.FromString(make()) for _ in range(4)]
    assert all(len(message.payloads) == 3 for message in sent)
    assert len({payload.data["event_key"] for message in sent for payload in message.payloads}) == 12


def test_reads_repeat() -> None:
    make = message_maker("get", NAMES)
    asked = [event_pb2.EventRequest.FromString(make()).event_id for _ in range(3)]
    assert asked == ["event-1", "event-2", "event-1"]


def test_a_page_can_be_named() -> None:
    (message,) = read_messages("list100@7", NAMES)
    assert isinstance(message, event_pb2.EventQuery)
    assert (message.query.page.start, message.query.page.limit) == (601, 100)


@pytest.mark.parametrize("rpc", ["list10@*", "stat@*"])
def test_varied_reads_are_all_different(rpc: str) -> None:
    asked = [message.SerializeToString(deterministic=True) for message in read_messages(rpc, NAMES)]
    assert len(set(asked)) == len(asked) == 30


@pytest.mark.parametrize(
    ("rpc", "method"),
    [
        ("create", "/spaceone.api.monitoring.v1.Event/create"),
        ("list10@*", "/spaceone.api.monitoring.v1.Event/list"),
        ("stat@*", "/spaceone.api.monitoring.v1.Event/stat"),
        ("batch100", "/event_service.v1.Ingest/CreateBatch"),
    ],
)
def test_an_rpc_knows_its_method(rpc: str, method: str) -> None:
    assert method_of(rpc) == method


def test_order_alternates_between_rounds() -> None:
    targets = [Target("ours", 1, 1, NAMES), Target("upstream", 2, 2, NAMES)]
    order = [
        [target.name for _, clients, target in _round(("get",), targets, number) if clients == 16] for number in (0, 1)
    ]
    assert order == [["ours", "upstream"], ["upstream", "ours"]]


def test_upstream_is_skipped_at_64_clients() -> None:
    targets = [Target("ours", 1, 1, NAMES), Target("upstream", 2, 2, NAMES)]
    assert [target.name for _, clients, target in _round(("get",), targets, 0) if clients == 64] == ["ours"]


def test_the_ratio_is_computed_from_the_runs() -> None:
    def run(cpu_seconds: float) -> list[Run]:
        return [Run(100, 0, 1.0, cpu_seconds, [0.01] * 100)] * 3

    rows = _rows({("get", 16, "ours"): run(0.04), ("get", 16, "upstream"): run(0.5), ("get", 64, "ours"): run(0.03)})
    assert [(row.rpc, row.clients, row.ratio) for row in rows] == [("get", 16, 12.5), ("get", 64, None)]


def test_every_rpc_has_an_aim() -> None:
    assert set(AIMS) == {"create", *READS}
