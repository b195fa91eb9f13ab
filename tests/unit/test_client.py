"""The batching client against a scripted service."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import code_pb2

from event_service import client as client_module
from event_service._gen.event_service.v1 import ingest_pb2
from event_service.client import ClientClosed, EventClient, NotStored, QueueFull, Stored
from event_service.errors import EventServiceError, InvalidArgument, NotFound, Overloaded, TooLarge, Unavailable
from event_service.rpc.status import failure_of

Outcome = ingest_pb2.Outcome
Answer = Callable[[ingest_pb2.Payload], Outcome | EventServiceError | None]


def stored(payload: ingest_pb2.Payload) -> Outcome:
    return Outcome(event_ids=[f"event-{payload.data.fields['n'].number_value:g}"], event_count=1)


class Service:
    """A CreateBatch that remembers its requests.

    Attributes:
        script: what happens to the next calls, first to last: an error, or a function per payload. Then all is stored.
        gate: calls wait for it.
    """

    def __init__(self) -> None:
        self.requests: list[ingest_pb2.CreateBatchRequest] = []
        self.metadata: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.script: list[EventServiceError | grpc.StatusCode | Answer] = []
        self.gate = threading.Event()
        self.gate.set()
        handler = grpc.unary_unary_rpc_method_handler(
            self._answer, ingest_pb2.CreateBatchRequest.FromString, ingest_pb2.CreateBatchResponse.SerializeToString
        )
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("event_service.v1.Ingest", {"CreateBatch": handler})]
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self.gate.set()
        self._server.stop(0).wait()

    @property
    def batches(self) -> list[list[int]]:
        return [[int(one.data.fields["n"].number_value) for one in request.payloads] for request in self.requests]

    def keys(self, number: int) -> set[str]:
        """Return the idempotency keys an event was sent under."""
        return {
            one.idempotency_key
            for request in self.requests
            for one in request.payloads
            if one.data.fields["n"].number_value == number
        }

    def _answer(
        self, request: ingest_pb2.CreateBatchRequest, context: grpc.ServicerContext
    ) -> ingest_pb2.CreateBatchResponse:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.times.append(time.monotonic())
        assert self.gate.wait(10)
        step = self.script.pop(0) if self.script else stored
        if isinstance(step, grpc.StatusCode):
            context.abort(step, "the transport says so")
        if isinstance(step, EventServiceError):
            failure = failure_of(step)
            context.set_trailing_metadata(failure.trailers)
            context.abort(failure.code, failure.details)
        outcomes = []
        for payload in request.payloads:
            outcome = step(payload)
            if outcome is None:
                continue
            if isinstance(outcome, EventServiceError):
                error, outcome = outcome, Outcome(code=code_pb2.Code.Value(outcome.code), message=outcome.details)
                if error.retry_after is not None:
                    outcome.retry_delay.FromMilliseconds(round(error.retry_after * 1000))
            outcomes.append(outcome)
        return ingest_pb2.CreateBatchResponse(outcomes=outcomes)


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.stop()


@pytest.fixture
def make_client(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., EventClient]]:
    monkeypatch.setattr(client_module, "_FIRST_BACKOFF", 0.01)
    made: list[EventClient] = []

    def make(**options: Any) -> EventClient:
        made.append(EventClient(service.address, "webhook-1", "key", **options))
        return made[-1]

    yield make
    service.gate.set()
    for one in made:
        one.close(0)


Make = Callable[..., EventClient]


def result(future: "futures.Future[Stored]") -> Stored:
    return future.result(10)


def refusal(future: "futures.Future[Stored]") -> NotStored:
    with pytest.raises(NotStored) as caught:
        future.result(10)
    return caught.value


def hold(service: Service, client: EventClient) -> "futures.Future[Stored]":
    """Send event 0 and keep its call in flight."""
    service.gate.clear()
    first = client.send({"n": 0})
    while not service.requests:
        time.sleep(0.005)
    return first


def test_event_is_sent_immediately_with_key_and_credentials(service: Service, make_client: Make) -> None:
    client = make_client(token="t")
    payload = {"n": 1, "a.b": ["키", None, {"$c": 0.5}]}
    assert result(client.send(payload)) == Stored(("event-1",), 1)
    (request,) = service.requests
    assert (request.webhook_id, request.access_key) == ("webhook-1", "key")
    assert json_format.MessageToDict(request.payloads[0].data) == payload
    assert request.payloads[0].idempotency_key
    assert service.metadata[0]["token"] == "t"


def test_events_sent_during_a_call_form_the_next_batch(service: Service, make_client: Make) -> None:
    client = make_client(batch_items=4)
    first = hold(service, client)
    others = [client.send({"n": n}) for n in range(1, 7)]
    assert client.pending == 7
    service.gate.set()
    assert [result(one).event_ids[0] for one in [first, *others]] == [f"event-{n}" for n in range(7)]
    assert service.batches == [[0], [1, 2, 3, 4], [5, 6]]
    assert client.pending == 0
    keys = {one.idempotency_key for request in service.requests for one in request.payloads}
    assert len(keys) == 7


def test_a_batch_is_bounded_in_bytes_and_one_event_may_be_larger(service: Service, make_client: Make) -> None:
    client = make_client(batch_bytes=1000)
    first = hold(service, client)
    others = [client.send({"n": n, "x": "x" * size}) for n, size in enumerate((300, 300, 5000, 300), start=1)]
    service.gate.set()
    for one in [first, *others]:
        result(one)
    assert service.batches == [[0], [1, 2], [3], [4]]


def test_given_idempotency_key_is_used(service: Service, make_client: Make) -> None:
    client = make_client()
    result(client.send({"n": 1}, idempotency_key="mine"))
    assert service.keys(1) == {"mine"}


def test_future_returns_the_whole_outcome(service: Service, make_client: Make) -> None:
    service.script = [lambda _: Outcome(event_count=30, event_ids=["a"], duplicate=True, faults=["f"], ignored=["i"])]
    assert result(make_client().send({"n": 1})) == Stored(("a",), 30, True, ("f",), ("i",))


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("away", 0.0),
        Overloaded("busy", retry_after=0.0),
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.INTERNAL,
        lambda _: Overloaded("busy", retry_after=0.0),
    ],
    ids=lambda one: getattr(one, "code", None) or getattr(one, "name", "outcome"),
)
def test_retry_uses_the_same_key(service: Service, make_client: Make, failure: Any) -> None:
    service.script = [failure] * 3
    assert result(make_client().send({"n": 1})) == Stored(("event-1",), 1)
    assert service.batches == [[1]] * 4
    assert len(service.keys(1)) == 1


def test_only_failed_events_are_retried_first(service: Service, make_client: Make) -> None:
    client = make_client(batch_items=4)
    first = hold(service, client)
    service.script = [
        stored,
        lambda one: Unavailable("away", 0.0) if one.data.fields["n"].number_value in {2, 3} else stored(one),
    ]
    others = [client.send({"n": n}) for n in range(1, 7)]
    service.gate.set()
    for one in [first, *others]:
        result(one)
    assert service.batches == [[0], [1, 2, 3, 4], [2, 3, 5, 6]]


@pytest.mark.parametrize("failure", [Overloaded("busy", retry_after=0.4), lambda _: Unavailable("away", 0.4)])
def test_retry_delay_is_honoured(service: Service, make_client: Make, failure: Any) -> None:
    service.script = [failure]
    result(make_client().send({"n": 1}))
    assert 0.4 <= service.times[1] - service.times[0] < 2


def test_backoff_grows(service: Service, make_client: Make) -> None:
    service.script = [grpc.StatusCode.UNAVAILABLE] * 6
    result(make_client().send({"n": 1}))
    pauses = [after - before for before, after in zip(service.times, service.times[1:], strict=False)]
    assert pauses[-1] >= 0.32 > pauses[0]
    assert client_module._backoff(1000) == client_module._MAX_BACKOFF


def test_refusal_is_raised_and_logged(service: Service, make_client: Make, caplog: pytest.LogCaptureFixture) -> None:
    client = make_client()
    first = hold(service, client)
    service.script = [stored, lambda one: TooLarge("large") if one.data.fields["n"].number_value == 1 else stored(one)]
    large, fine = client.send({"n": 1}, idempotency_key="mine"), client.send({"n": 2})
    service.gate.set()
    error = refusal(large)
    assert (error.code, error.message) == ("RESOURCE_EXHAUSTED", "ERROR_TOO_LARGE: large")
    assert (error.uncertain, error.idempotency_key) == (False, "mine")
    assert result(first)
    assert result(fine)
    (record,) = [one for one in caplog.records if one.name == "event_service.client"]
    assert vars(record)["reason"] == "ERROR_TOO_LARGE: large"


@pytest.mark.parametrize("error", [NotFound("webhook_id", "webhook-1"), InvalidArgument("nonsense")])
def test_refused_call_is_not_retried(service: Service, make_client: Make, error: EventServiceError) -> None:
    service.script = [error]
    assert refusal(make_client().send({"n": 1})).message == error.details
    assert len(service.requests) == 1


def test_batch_too_large_for_a_proxy_is_halved(service: Service, make_client: Make) -> None:
    client = make_client()
    first = hold(service, client)
    too_large = grpc.StatusCode.RESOURCE_EXHAUSTED
    service.script = [stored, too_large, stored, too_large, too_large, stored]
    others = [client.send({"n": n}) for n in range(1, 5)]
    service.gate.set()
    assert result(first)
    assert service.batches[0] == [0]
    decided = futures.wait(others, 10)
    assert not decided.not_done
    assert service.batches[1:] == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]
    assert refusal(others[2]).code == "RESOURCE_EXHAUSTED"
    assert result(others[3])


def test_retry_timeout_ends_retries(service: Service, make_client: Make) -> None:
    service.script = [grpc.StatusCode.UNAVAILABLE] * 1000
    error = refusal(make_client(retry_timeout=1).send({"n": 1}, idempotency_key="mine"))
    assert (error.code, error.uncertain, error.idempotency_key) == ("UNAVAILABLE", True, "mine")
    assert len(service.requests) > 1


def test_full_queue_blocks_or_raises(service: Service, make_client: Make) -> None:
    client = make_client(queue_items=2)
    hold(service, client)
    client.send({"n": 1})
    with pytest.raises(QueueFull):
        client.send({"n": 2}, timeout=0)
    began = time.monotonic()
    with pytest.raises(QueueFull):
        client.send({"n": 2}, timeout=0.2)
    assert time.monotonic() - began >= 0.2
    threading.Timer(0.2, service.gate.set).start()
    assert result(client.send({"n": 3}))


def test_the_queue_is_bounded_in_bytes_but_for_one_event_alone(service: Service, make_client: Make) -> None:
    client = make_client(queue_bytes=1000)
    assert result(client.send({"n": 1, "x": "x" * 5000}))
    hold(service, client)
    client.send({"n": 1, "x": "x" * 500})
    with pytest.raises(QueueFull):
        client.send({"n": 2, "x": "x" * 500}, timeout=0)


@pytest.mark.parametrize(
    ("payload", "error"),
    [({}, ValueError), ({"n": float("nan")}, InvalidArgument), ({"n": object()}, InvalidArgument)],
)
def test_invalid_payload_is_refused_by_send(
    service: Service, make_client: Make, payload: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make_client().send(payload)
    assert not service.requests


@pytest.mark.parametrize("options", [{"batch_items": 0}, {"batch_items": 1001}])
def test_wrong_options_are_refused(service: Service, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="batch_items"):
        EventClient(service.address, "w", "k", **options)
    with pytest.raises(ValueError, match="webhook_id"):
        EventClient(service.address, "", "k")


def test_flush_waits_for_what_was_sent(service: Service, make_client: Make) -> None:
    client = make_client()
    assert client.flush(0)
    hold(service, client)
    assert not client.flush(0.05)
    threading.Timer(0.1, service.gate.set).start()
    assert client.flush(10)
    assert client.pending == 0


def test_close_sends_what_is_queued(service: Service, make_client: Make) -> None:
    with make_client(batch_items=2) as client:
        sent = [client.send({"n": n}) for n in range(5)]
    assert all(one.done() and one.result() for one in sent)
    with pytest.raises(ClientClosed):
        client.send({"n": 9})
    client.close()


def test_close_wakes_callers_that_wait_for_room(service: Service, make_client: Make) -> None:
    client = make_client(queue_items=1)
    hold(service, client)
    with futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.send, {"n": 1})
        time.sleep(0.05)
        client.close(0)
        with pytest.raises(ClientClosed):
            waiting.result(5)


@pytest.mark.parametrize("failing", [False, True])
def test_events_unfinished_at_close_are_uncertain(service: Service, make_client: Make, failing: bool) -> None:
    client = make_client(batch_items=1)
    if failing:
        service.script = [grpc.StatusCode.UNAVAILABLE] * 1000
        first = client.send({"n": 0})
    else:
        first = hold(service, client)
    queued = client.send({"n": 1})
    began = time.monotonic()
    client.close(0.2)
    assert time.monotonic() - began < 5
    assert refusal(first).uncertain
    assert refusal(queued).uncertain is False
    assert client.pending == 0


def test_cancelled_event_is_not_sent(service: Service, make_client: Make) -> None:
    client = make_client()
    first = hold(service, client)
    unwanted, other = client.send({"n": 1}), client.send({"n": 2})
    assert unwanted.cancel()
    service.gate.set()
    assert result(first)
    assert result(other)
    assert service.batches == [[0], [2]]
    assert client.pending == 0


def test_reply_with_wrong_number_of_outcomes_is_refused(service: Service, make_client: Make) -> None:
    service.script = [lambda _: None]
    error = refusal(make_client().send({"n": 1}))
    assert (error.code, error.uncertain) == ("INTERNAL", True)


def test_retry_after_server_crash(service: Service, make_client: Make) -> None:
    def crash(_: ingest_pb2.Payload) -> Outcome:
        raise RuntimeError("crash")

    service.script = [crash]
    assert result(make_client().send({"n": 1}))
    assert len(service.requests) == 2


def test_many_threads_share_a_client(service: Service, make_client: Make) -> None:
    client = make_client(queue_items=50)
    service.script = [grpc.StatusCode.UNAVAILABLE, stored, Overloaded("busy", retry_after=0.0)]
    with futures.ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda n: client.send({"n": n}), range(400)))
    assert client.flush(20)
    assert [one.result().event_ids[0] for one in sent] == [f"event-{n}" for n in range(400)]


def test_client_waits_for_server_start(make_client: Make, service: Service) -> None:
    address = service.address
    service.stop()
    with EventClient(address, "w", "k") as client:
        sent = client.send({"n": 1})
        time.sleep(0.3)
        assert not sent.done()
        client.close(0)
    assert refusal(sent).uncertain
