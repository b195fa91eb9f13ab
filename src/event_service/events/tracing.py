"""Put spans around the steps of a delivery; see `telemetry/tracing.py`.

Without tracing (None) each function returns the untraced class or function.
"""

import asyncio
from collections.abc import Sequence

from event_service.concurrency.group_commit import Commit
from event_service.events.admission import AdmissionControl
from event_service.events.delivery import Delivery, DeliveryParser
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.model.webhook import Webhook
from event_service.normalize import Parsed
from event_service.telemetry.tracing import Tracing


def traced_parser(tracing: Tracing | None) -> type[DeliveryParser]:
    """Return a DeliveryParser with the span `normalize`: signatures, parsing and remote plugins."""
    if tracing is None:
        return DeliveryParser
    open_span = tracing.span

    class TracedDeliveryParser(DeliveryParser):
        async def read(self, webhook: Webhook, delivery: Delivery) -> Parsed:
            with open_span("normalize") as span:
                parsed = await super().read(webhook, delivery)
                span.set_attribute("event_service.events", len(parsed.events))
                return parsed

    return TracedDeliveryParser


def traced_admission(tracing: Tracing | None) -> type[AdmissionControl]:
    """Return an AdmissionControl with the span `commit`: from the queue to the answer."""
    if tracing is None:
        return AdmissionControl
    waiting = tracing.waiting

    class TracedAdmission(AdmissionControl):
        def submit(self, request: WriteRequest) -> "asyncio.Future[CreateResult]":
            answer = super().submit(request)
            waiting(request, answer, len(request.entries))
            return answer

    return TracedAdmission


def traced_commit(
    tracing: Tracing | None, commit: Commit[WriteRequest, CreateResult]
) -> Commit[WriteRequest, CreateResult]:
    """Return the commit step with the span `commit batch`, linked to the creates that wait for it."""
    if tracing is None:
        return commit

    def traced(batch: Sequence[WriteRequest]) -> Sequence[CreateResult | Exception | None]:
        with tracing.batch(batch):
            return commit(batch)

    return traced
