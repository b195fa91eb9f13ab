"""Admit or refuse deliveries while a refusal is still cheap: before they are parsed."""

import asyncio

from event_service.concurrency.group_commit import GroupCommit
from event_service.errors import EventServiceError
from event_service.events.ports import RateLimit
from event_service.events.write_request import CreateResult, WriteRequest
from event_service.telemetry.metrics import OTHER, Metrics


class AdmissionControl:
    """The write queue, and the rate limit of each webhook in front of it."""

    def __init__(self, writer: GroupCommit[WriteRequest, CreateResult], rates: RateLimit, metrics: Metrics) -> None:
        self._writer = writer
        self._rates = rates
        self._metrics = metrics

    def admit(self, webhook_id: str) -> None:
        """Check the webhook's rate limit and the write queue.

        Raises:
            Overloaded: the webhook is over its rate, or the queue is full.
            Unavailable: the database cannot be written at present.
        """
        try:
            self._rates.check(webhook_id)
            self._writer.check(webhook_id)
        except EventServiceError as error:
            self._metrics.delivery(OTHER, error.reason)
            raise

    def submit(self, request: WriteRequest) -> "asyncio.Future[CreateResult]":
        """Queue a create as `GroupCommit.submit` does, and charge its events to the webhook's rate limit."""
        answer = self._writer.submit(request)
        if request.entries:
            self._rates.consume(request.key, len(request.entries))
        return answer
