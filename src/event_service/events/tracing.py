"""Deliveries with spans around what is done with them. Only where tracing is configured; see `telemetry/tracing.py`.

Where it is not (None), each function gives what it would put spans around.
"""

import asyncio
from collections.abc import Callable, Sequence

from event_service.events.admission import AdmissionControl
from event_service.events.delivery import Delivery, DeliveryParser
from event_service.events.write_request import CreateResult, Outcome, WriteRequest
from event_service.model.webhook import Webhook
from event_service.normalize import Parsed
from event_service.telemetry.tracing import Tracing

Commit = Callable[[Sequence[WriteRequest]], Sequence[Outcome]]


def traced_parser(tracing: Tracing | None) -> type[DeliveryParser]:
    """`normalize`: from the payload to events, signatures and remote plugins included."""
    if tracing is None:
        return DeliveryParser
    open_span = tracing.span

    class TracedDeliveryReader(DeliveryParser):
        async def read(self, webhook: Webhook, delivery: Delivery) -> Parsed:
            with open_span("normalize") as span:
                parsed = await super().read(webhook, delivery)
                span.set_attribute("event_service.events", len(parsed.events))
                return parsed

    return TracedDeliveryReader


def traced_admission(tracing: Tracing | None) -> type[AdmissionControl]:
    """`commit`: from the queue to the answer."""
    if tracing is None:
        return AdmissionControl
    waiting = tracing.waiting

    class TracedDoor(AdmissionControl):
        def submit(self, request: WriteRequest) -> "asyncio.Future[CreateResult]":
            answer = super().submit(request)
            waiting(request, answer, len(request.entries))
            return answer

    return TracedDoor


def traced_commit(tracing: Tracing | None, commit: Commit) -> Commit:
    """`commit batch`: one write of the group commit, with links to the creates that wait for it."""
    if tracing is None:
        return commit

    def traced(batch: Sequence[WriteRequest]) -> Sequence[Outcome]:
        with tracing.batch(batch):
            return commit(batch)

    return traced
