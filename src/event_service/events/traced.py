"""Deliveries with spans around what is done with them. Only where tracing is configured; see `telemetry/tracing.py`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from event_service.events.batch import CreateItem, CreateResult, Outcome
from event_service.events.door import Door
from event_service.events.reading import Delivery, DeliveryReader
from event_service.model.webhook import Webhook
from event_service.normalize import Parsed
from event_service.telemetry.tracing import Tracing

Commit = Callable[[Sequence[CreateItem]], Sequence[Outcome]]


class TracedDeliveryReader(DeliveryReader):
    """`normalize`: from the payload to events, signatures and remote plugins included."""

    def __init__(self, tracing: Tracing, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracing = tracing

    async def read(self, webhook: Webhook, delivery: Delivery) -> Parsed:
        with self._tracing.span("normalize") as span:
            parsed = await super().read(webhook, delivery)
            span.set_attribute("event_service.events", len(parsed.events))
            return parsed


class TracedDoor(Door):
    """`commit`: from the queue to the answer."""

    def __init__(self, tracing: Tracing, *parts: Any) -> None:
        super().__init__(*parts)
        self._tracing = tracing

    def submit(self, request: CreateItem) -> "asyncio.Future[CreateResult]":
        answer = super().submit(request)
        self._tracing.waiting(request, answer, len(request.entries))
        return answer


def make_delivery_reader(tracing: Tracing | None, **parts: Any) -> DeliveryReader:
    """A reader of deliveries; with spans where there is tracing."""
    return DeliveryReader(**parts) if tracing is None else TracedDeliveryReader(tracing, **parts)


def make_door(tracing: Tracing | None, *parts: Any) -> Door:
    """A door; with spans where there is tracing."""
    return Door(*parts) if tracing is None else TracedDoor(tracing, *parts)


def traced_commit(tracing: Tracing | None, commit: Commit) -> Commit:
    """`commit batch`: one write of the group commit, with links to the creates that wait for it."""
    if tracing is None:
        return commit

    def traced(batch: Sequence[CreateItem]) -> Sequence[Outcome]:
        with tracing.batch(batch):
            return commit(batch)

    return traced
