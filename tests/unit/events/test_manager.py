"""Many events of one call: what of them was stored is counted, whatever became of the others."""

import asyncio
import gc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from event_service.errors import EventServiceError, Overloaded, TooLarge, Unavailable
from event_service.events.alert_rules import AlertRules
from event_service.events.delivery import Delivery
from event_service.events.manager import MANY_EVENTS, DraftOutcome, EventManager
from event_service.events.write_request import CreateOutcome, CreateResult, WriteRequest
from event_service.model.activity import Ending
from event_service.model.event import EventDraft
from event_service.model.webhook import PluginInfo, Webhook
from tests.unit.events.test_delivery import Here
from tests.unit.events.test_replay import deliveries_on

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WEBHOOK = Webhook("webhook-1", "hook", "d", "w", "p", PluginInfo("cloud-eye"), NOW)


class AdmissionControl:
    """Answers as told, a turn of the loop later; a refusal that is `at_once` comes from `submit`."""

    def __init__(self, *answers: CreateResult | EventServiceError, at_once: bool = False) -> None:
        self.answers = list(answers)
        self.at_once = at_once
        self.futures: list[asyncio.Future[CreateResult]] = []

    def admit(self, webhook_id: str) -> None:
        pass

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
    """Metrics and webhooks that note what they are told."""

    def __init__(self) -> None:
        self.counted: list[dict[str, int]] = []
        self.deliveries: list[str] = []
        self.endings: list[Ending] = []

    def events(self, **counts: int) -> None:
        self.counted.append(counts)

    def delivery(self, parser: str, outcome: str) -> None:
        self.deliveries.append(f"{parser} {outcome}")

    def record(self, webhook_id: str, ending: Ending) -> None:
        self.endings.append(ending)

    async def authenticate(self, webhook_id: str, access_key: str) -> Webhook:
        return Webhook(webhook_id, "hook", "d", "w", "p", PluginInfo("auto"), NOW)

    def count(self, webhook_id: str, *, error: bool) -> None:
        pass


def manager_of(door: AdmissionControl, books: Books) -> EventManager:
    return EventManager(
        webhooks=books,
        deliveries=deliveries_on(Here()),
        door=door,
        reader=None,  # type: ignore[arg-type]
        rules=AlertRules(timedelta(0)),
        idempotency_hours=1,
        max_event_bytes=1000,
        metrics=books,
    )


async def create(door: AdmissionControl, books: Books, count: int, **more: Any) -> Any:
    drafts = [(EventDraft(f"k{number}", always_store=True, **more), str(number)) for number in range(count)]
    return await manager_of(door, books).create_drafts(WEBHOOK, drafts, NOW)


STORED = [CreateResult((f"event-{number}",), duplicate=number == 1) for number in range(3)]


async def test_all_are_stored() -> None:
    books = Books()
    outcomes = await create(AdmissionControl(*STORED), books, 3)
    assert outcomes == [DraftOutcome(f"event-{number}", number == 1) for number in range(3)]
    assert books.counted == [{"stored": 2, "duplicate": 1}]
    assert books.deliveries == ["cloud-eye stored"]
    assert books.endings == [Ending(stored=2, duplicates=1)]


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_was_stored_beside_a_refusal_is_counted(at_once: bool) -> None:
    books = Books()
    door = AdmissionControl(*STORED[:2], Overloaded("full", retry_after=1), TooLarge("x"), at_once=at_once)
    with pytest.raises(Overloaded):
        await create(door, books, 4)
    assert books.counted == [{"stored": 1, "duplicate": 1}]
    assert books.deliveries == ["cloud-eye ERROR_RESOURCE_EXHAUSTED"]
    assert books.endings == [Ending(stored=1, duplicates=1)]
    assert all(future.done() for future in door.futures)


async def test_what_is_too_large_to_be_built_is_refused() -> None:
    books = Books()
    with pytest.raises(TooLarge):
        await create(AdmissionControl(), books, 1, title="x" * 2000)
    assert (books.counted, books.deliveries) == ([], ["cloud-eye ERROR_TOO_LARGE"])
    assert [ending.refused for ending in books.endings] == [1]


async def test_who_stops_waiting_leaves_no_answer_unasked_for() -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    door = AdmissionControl(*[Unavailable() for _ in range(3)])
    task = asyncio.create_task(create(door, Books(), 3))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(future.done() for future in door.futures)
    del task
    door.futures.clear()
    gc.collect()
    assert complaints == []


async def test_what_is_much_does_not_wait_for_the_rest_of_its_batch() -> None:
    door = AdmissionControl(*[CreateResult((f"event-{number}",)) for number in range(3)])
    queued: list[int] = []

    def deliveries() -> Iterator[Delivery]:
        for count in (1, MANY_EVENTS + 1, 1):
            yield Delivery(payload={"alerts": [{"title": "t"}] * count}, received_at=NOW)
            queued.append(len(door.futures))

    outcomes = await manager_of(door, Books()).create_batch("webhook-1", "key", deliveries())
    assert queued == [0, 1, 1]
    assert [outcome.event_ids for outcome in outcomes if isinstance(outcome, CreateOutcome)] == [
        ["event-1"],
        ["event-0"],
        ["event-2"],
    ]


async def test_a_refusal_keeps_nothing_alive_of_what_was_refused() -> None:
    door = AdmissionControl(Overloaded("full", retry_after=1), at_once=True)
    deliveries = [Delivery(payload={"title": "t"}, received_at=NOW)]
    (error,) = await manager_of(door, Books()).create_batch("webhook-1", "key", deliveries)
    assert isinstance(error, Overloaded)
    assert error.__traceback__ is None
