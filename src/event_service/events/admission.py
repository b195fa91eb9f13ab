"""What lets deliveries in, or refuses them while that costs little: before they are read."""

import asyncio
from typing import Protocol

from event_service.errors import EventServiceError
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.telemetry.metrics import OTHER


class Writer(Protocol):
    """What is needed of `concurrency/group_commit.py`."""

    def check(self) -> None: ...
    def submit(self, request: WriteRequest) -> "asyncio.Future[CreateResult]": ...


class Rates(Protocol):
    """What is needed of `webhooks/rate_limit.py`."""

    def check(self, webhook_id: str) -> None: ...
    def consume(self, webhook_id: str, events: int) -> None: ...


class Metrics(Protocol):
    """What is needed of `telemetry/metrics.py`."""

    def delivery(self, parser: str, outcome: str) -> None: ...


class AdmissionControl:
    """The writer, and whom it is there for.

    Args:
        rates: how much each webhook may deliver.
        metrics: told of what is refused.
    """

    def __init__(self, writer: Writer, rates: Rates, metrics: Metrics) -> None:
        self._writer = writer
        self._rates = rates
        self._metrics = metrics

    def admit(self, webhook_id: str) -> None:
        """Lets a delivery of a webhook in.

        Raises:
            Overloaded: it has delivered more than it may, or too much is waiting to be written.
            Unavailable: nothing can be written at present.
        """
        try:
            self._rates.check(webhook_id)
            self._writer.check()
        except EventServiceError as error:
            self._metrics.delivery(OTHER, error.reason)
            raise

    def submit(self, request: WriteRequest) -> "asyncio.Future[CreateResult]":
        """As the writer's. The webhook pays for its events if they are taken."""
        answer = self._writer.submit(request)
        if request.entries:
            self._rates.consume(request.entries[0].key.webhook_id, len(request.entries))
        return answer
