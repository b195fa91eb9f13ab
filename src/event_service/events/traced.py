"""Deliveries with spans around what is done with them. Only where tracing is configured; see `telemetry/tracing.py`.

Where it is not (None), each function gives what it would put spans around.
"""

import asyncio
from collections.abc import Callable, Sequence

from event_service.events.batch import CreateItem, CreateResult, Outcome
from event_service.events.door import Door
from event_service.events.reading import Delivery, DeliveryReader
from event_service.model.webhook import Webhook
from event_service.normalize import Parsed
from event_service.telemetry.tracing import Tracing

Commit = Callable[[Sequence[CreateItem]], Sequence[Outcome]]


def traced_reader(tracing: Tracing | None) -> type[DeliveryReader]:
    """`normalize`: from the payload to events, signatures and remote plugins included."""
    if tracing is None:
        return DeliveryReader
    open_span = tracing.span

    class TracedDeliveryReader(DeliveryReader):
        async def read(self, webhook: Webhook, delivery: Delivery) -> Parsed:
            with open_span("normalize") as span:
                parsed = await super().read(webhook, delivery)
                span.set_attribute("event_service.events", len(parsed.events))
                return parsed

    return TracedDeliveryReader


def traced_door(tracing: Tracing | None) -> type[Door]:
    """`commit`: from the queue to the answer."""
    if tracing is None:
        return Door
    waiting = tracing.waiting

    class TracedDoor(Door):
        def submit(self, request: CreateItem) -> "asyncio.Future[CreateResult]":
            answer = super().submit(request)
            waiting(request, answer, len(request.entries))
            return answer

    return TracedDoor


def traced_commit(tracing: Tracing | None, commit: Commit) -> Commit:
    """`commit batch`: one write of the group commit, with links to the creates that wait for it."""
    if tracing is None:
        return commit

    def traced(batch: Sequence[CreateItem]) -> Sequence[Outcome]:
        with tracing.batch(batch):
            return commit(batch)

    return traced
