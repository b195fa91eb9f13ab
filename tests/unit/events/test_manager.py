"""EventManager: stored events are counted, also beside refusals, and create and create_batch agree."""

import asyncio
import gc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service.errors import EventServiceError, Overloaded, PermissionDenied, TooLarge, Unavailable
from event_service.events.alert_rules import AlertRules
from event_service.events.delivery import CreateRequest, Delivery
from event_service.events.manager import MANY_EVENTS, EventManager
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.model.activity import DeliveryOutcome
from event_service.model.event import EventDraft
from event_service.model.webhook import PluginInfo, Webhook
from tests.unit.events.test_delivery import Here
from tests.unit.events.test_replay import deliveries_on

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEBHOOK = Webhook("webhook-1", "hook", "d", "w", "p", PluginInfo("cloud-eye"), NOW)
AUTO = Webhook("webhook-1", "hook", "d", "w", "p", PluginInfo("auto"), NOW)


class AdmissionControl:
    """Gives the answers one turn of the loop later; with `at_once`, `submit` raises the refusals."""

    def __init__(self, *answers: CreateResult | EventServiceError, at_once: bool = False) -> None:
        self.answers = list(answers)
        self.at_once = at_once
        self.futures: list[asyncio.Future[CreateResult]] = []
        self.admitted: list[str] = []

    def admit(self, webhook_id: str) -> None:
        self.admitted.append(webhook_id)

    def submit(self, request: WriteRequest) -> "asyncio.Future[CreateResult]":
        answer = self.answers.pop(0)
        if self.at_once and isinstance(answer, EventServiceError):
            raise answer
        future = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        setter = future.set_exception if isinstance(answer, EventServiceError) else future.set_result
        asyncio.get_running_loop().call_soon(lambda: future.done() or setter(answer))
        return future


class Books:
    """Metrics and webhooks that record their calls."""

    def __init__(self) -> None:
        self.counted: list[dict[str, int]] = []
        self.deliveries: list[str] = []
        self.endings: list[DeliveryOutcome] = []
        self.authenticated = 0
        self.counted_calls: list[bool] = []

    def events(self, **counts: int) -> None:
        self.counted.append(counts)

    def delivery(self, parser: str, outcome: str) -> None:
        self.deliveries.append(f"{parser} {outcome}")

    def record(self, webhook_id: str, ending: DeliveryOutcome) -> None:
        self.endings.append(ending)

    async def authenticate(self, webhook_id: str, access_key: str) -> Webhook:
        if access_key != "key":
            raise PermissionDenied
        self.authenticated += 1
        return AUTO

    def count(self, webhook_id: str, *, error: bool) -> None:
        self.counted_calls.append(error)


def manager_of(admission: AdmissionControl, books: Books) -> EventManager:
    return EventManager(
        webhooks=books,  # type: ignore[arg-type]
        deliveries=deliveries_on(Here()),
        admission=admission,  # type: ignore[arg-type]
        reader=None,  # type: ignore[arg-type]
        rules=AlertRules(timedelta(0)),
        idempotency=timedelta(hours=1),
        same_body=timedelta(0),
        max_event_bytes=1000,
        metrics=books,  # type: ignore[arg-type]
    )


async def create(admission: AdmissionControl, books: Books, count: int, **more: Any) -> Any:
    drafts = [(EventDraft(f"k{number}", always_store=True, **more), str(number)) for number in range(count)]
    return await manager_of(admission, books).create_drafts(WEBHOOK, drafts, NOW)


STORED = [CreateResult((f"event-{number}",), duplicate=number == 1) for number in range(3)]


async def test_drafts_are_stored_and_counted() -> None:
    books = Books()
    outcomes = await create(AdmissionControl(*STORED), books, 3)
    assert outcomes == STORED
    assert books.counted == [{"stored": 2, "duplicate": 1}]
    assert books.deliveries == ["cloud-eye stored"]
    assert books.endings == [DeliveryOutcome(stored=2, duplicates=1)]


@pytest.mark.parametrize("at_once", [True, False])
async def test_stored_drafts_are_counted_beside_a_refusal(at_once: bool) -> None:
    books = Books()
    admission = AdmissionControl(*STORED[:2], Overloaded("full", retry_after=1), TooLarge("x"), at_once=at_once)
    with pytest.raises(Overloaded):
        await create(admission, books, 4)
    assert books.counted == [{"stored": 1, "duplicate": 1}]
    assert books.deliveries == ["cloud-eye ERROR_RESOURCE_EXHAUSTED"]
    assert books.endings == [DeliveryOutcome(stored=1, duplicates=1)]
    assert all(future.done() for future in admission.futures)


async def test_too_large_drafts_are_refused() -> None:
    books = Books()
    with pytest.raises(TooLarge):
        await create(AdmissionControl(), books, 1, title="x" * 2000)
    assert (books.counted, books.deliveries) == ([], ["cloud-eye ERROR_TOO_LARGE"])
    assert [ending.refused for ending in books.endings] == [1]


async def test_cancelled_create_leaves_no_unretrieved_answer() -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    admission = AdmissionControl(*[Unavailable() for _ in range(3)])
    task = asyncio.create_task(create(admission, Books(), 3))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(future.done() for future in admission.futures)
    del task
    admission.futures.clear()
    gc.collect()
    assert complaints == []


async def test_heavy_delivery_is_queued_before_the_rest_of_its_batch() -> None:
    admission = AdmissionControl(*[CreateResult((f"event-{number}",)) for number in range(3)])
    queued: list[int] = []

    def deliveries() -> Iterator[Delivery]:
        for count in (1, MANY_EVENTS + 1, 1):
            yield Delivery(payload={"alerts": [{"title": "t"}] * count}, received_at=NOW)
            queued.append(len(admission.futures))

    outcomes = await manager_of(admission, Books()).create_batch(AUTO, deliveries())
    assert queued == [0, 1, 1]
    assert [outcome.event_ids for outcome in outcomes if isinstance(outcome, CreateResult)] == [
        ("event-1",),
        ("event-0",),
        ("event-2",),
    ]


async def test_refusal_has_no_traceback() -> None:
    admission = AdmissionControl(Overloaded("full", retry_after=1), at_once=True)
    deliveries = [Delivery(payload={"title": "t"}, received_at=NOW)]
    (error,) = await manager_of(admission, Books()).create_batch(AUTO, deliveries)
    assert isinstance(error, Overloaded)
    assert error.__traceback__ is None


async def test_delivery_is_authenticated_admitted_and_counted_once() -> None:
    admission, books = AdmissionControl(CreateResult(("event-1",))), Books()
    manager = manager_of(admission, books)
    webhook = await manager.admit("webhook-1", "key")
    result = await manager.create(CreateRequest(webhook=webhook, payload={"title": "t"}, received_at=NOW))
    assert (result.event_ids, result.parser) == (("event-1",), "generic")
    assert (books.authenticated, admission.admitted, books.counted_calls) == (1, ["webhook-1"], [False])


async def test_unauthenticated_sender_is_not_admitted() -> None:
    admission, books = AdmissionControl(), Books()
    with pytest.raises(PermissionDenied):
        await manager_of(admission, books).admit("webhook-1", "wrong")
    assert (admission.admitted, books.counted_calls) == ([], [])


async def test_create_raises_the_refusal_of_its_delivery() -> None:
    admission, books = AdmissionControl(TooLarge("x")), Books()
    with pytest.raises(TooLarge):
        await manager_of(admission, books).create(CreateRequest(webhook=AUTO, payload={"title": "t"}, received_at=NOW))
    assert [ending.refused for ending in books.endings] == [1]


async def test_create_reports_faults_and_unmatched_recoveries() -> None:
    admission, books = AdmissionControl(CreateResult(("event-1",), unmatched=("k",))), Books()
    payload = {"alerts": [{"title": "a"}, 5]}
    result = await manager_of(admission, books).create(CreateRequest(webhook=AUTO, payload=payload, received_at=NOW))
    assert result.faults == ["alerts[1]: must be a JSON object"]
    assert result.ignored == ["recovery without an open alert (event_key = k)"]
    (ending,) = books.endings
    assert (ending.errors, ending.unmatched, ending.ignored, ending.error) == (1, 1, [], result.faults[0])
    assert books.counted_calls == [True]
