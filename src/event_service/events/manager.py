"""Store deliveries as events.

    admit      webhook and access key (webhooks/manager.py), rate limit and write queue (admission.py)
    parse      payload > drafts (delivery.py, normalize)
    build      drafts > events, serialised (event_builder.py), and an idempotency record (idempotency_key.py)
    submit     write queue (concurrency/group_commit.py) > one batch (committer.py)

The read side is queries.py.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from event_service.errors import EventServiceError
from event_service.events.admission import AdmissionControl
from event_service.events.alert_rules import AlertRules, condition_id_of, rules_of
from event_service.events.delivery import CreateRequest, Delivery, DeliveryParser, build_delivery
from event_service.events.event_builder import EncodedEvent, build, build_all
from event_service.events.idempotency_key import idempotency_of, record_id_of
from event_service.events.outcome_metrics import OutcomeMetrics, parser_of
from event_service.events.ports import Webhooks
from event_service.events.queries import EventQueries
from event_service.events.write_request import CreateResult, IdempotencyRequest, PendingEvent, WriteRequest
from event_service.model.condition import ConditionKey
from event_service.model.event import EventDraft
from event_service.model.retention import Retention
from event_service.model.webhook import Webhook
from event_service.normalize import Parsed
from event_service.store.event_reader import SharedEventReader
from event_service.telemetry.metrics import Metrics
from event_service.wire.timestamps import Clock, utc_now

SLICE_SECONDS = 0.005
"""Longest work on one batch before other calls get their turn on the event loop."""

MANY_EVENTS = 100
"""More events of one delivery are built in a thread, because all other calls would have to wait."""

MOST_REMOTE_PARSES = 16
"""Payloads of one batch that a remote plugin parses concurrently."""


@dataclass(slots=True)
class _Submission:
    """A delivery between parsing and its result.

    Attributes:
        result: everything but what the write adds.
        errors: how many of the events are ERROR events of unreadable members.
        request: None if there is nothing to store.
        answer: the write queue's, once the request is queued.
    """

    result: CreateResult
    errors: int = 0
    request: WriteRequest | None = None
    answer: "asyncio.Future[CreateResult] | None" = None


class EventManager(EventQueries):
    """The service layer of events.

    Args:
        rules: how events are tied to alerts, unless the webhook's options say otherwise.
        idempotency: how long idempotency keys and message ids are remembered.
        same_body: how long equal HTTP bodies count as one delivery; zero turns that off.
        max_event_bytes: largest EventInfo that is stored.
        retention: by default events are kept forever.
    """

    def __init__(
        self,
        *,
        webhooks: Webhooks,
        deliveries: DeliveryParser,
        admission: AdmissionControl,
        reader: SharedEventReader,
        rules: AlertRules,
        idempotency: timedelta,
        same_body: timedelta,
        max_event_bytes: int,
        metrics: Metrics,
        retention: Retention | None = None,
        clock: Clock = utc_now,
    ) -> None:
        super().__init__(reader, deliveries.run_in_thread, clock=clock)
        self._outcomes = OutcomeMetrics(metrics, webhooks)
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._admission = admission
        self._rules = partial(rules_of, rules)
        self._idempotency = idempotency
        self._same_body = same_body
        self._max_event_bytes = max_event_bytes
        self._retention = retention or Retention()

    async def admit(self, webhook_id: str, access_key: str) -> Webhook:
        """Authenticate a sender and admit its delivery, before the payload is read.

        Returns:
            The webhook, for `create` and `create_batch`.

        Raises:
            NotFound, PermissionDenied, WebhookDisabled: the webhook does not take the delivery.
            Overloaded, Unavailable: it cannot be stored at present; send again.
        """
        webhook = await self._webhooks.authenticate(webhook_id, access_key)
        self._admission.admit(webhook_id)
        return webhook

    async def create(self, request: CreateRequest) -> CreateResult:
        """Store an admitted delivery. Returns once it is journalled.

        Raises:
            PermissionDenied: the webhook demands a signature that is missing or invalid.
            InvalidArgument, TooLarge: it could not be read back; nothing was stored.
            AlreadyExists: the idempotency key came with another payload before.
            Overloaded, Unavailable: the outcome is unknown; send again.
        """
        (result,) = await self.create_batch(request.webhook, [request])
        if isinstance(result, EventServiceError):
            raise result
        return result

    async def create_batch(
        self, webhook: Webhook, deliveries: Iterable[Delivery | EventServiceError]
    ) -> list[CreateResult | EventServiceError]:
        """Store many admitted deliveries, each as `create` would. Returns once all are journalled or refused.

        Args:
            deliveries: consumed one after the other. An error stands for a delivery that was refused already.

        Returns:
            For each delivery its result or its error.
        """
        submissions: list[_Submission | EventServiceError] = []
        try:
            if self._deliveries.is_remote(webhook):
                rest = iter(deliveries)
                while some := list(islice(rest, MOST_REMOTE_PARSES)):
                    more = await asyncio.gather(*(self._prepare(webhook, one) for one in some))
                    submissions += [self._submit(one) if _is_heavy(one) else one for one in more]
            else:
                slice_ends = time.monotonic() + SLICE_SECONDS
                for delivery in deliveries:
                    one = await self._prepare(webhook, delivery)
                    submissions.append(self._submit(one) if _is_heavy(one) else one)
                    if time.monotonic() > slice_ends:
                        await asyncio.sleep(0)
                        slice_ends = time.monotonic() + SLICE_SECONDS
            # Without an await between them, so that one write takes them all.
            submissions = [self._submit(one) for one in submissions]
            return [await self._finish(webhook, one) for one in submissions]
        except asyncio.CancelledError:
            _abandon(submissions)
            raise

    async def create_drafts(
        self, webhook: Webhook, items: Sequence[tuple[EventDraft, str]], received_at: datetime
    ) -> list[CreateResult]:
        """Store parsed events of an authenticated sender, each once per identity. Returns once all are journalled.

        Args:
            items: (event, identity); the identity is remembered like an idempotency key, but for all webhooks of the
                project, and at least two hours. Events must have `always_store`.

        Returns:
            For each item its result, with one event_id.

        Raises:
            EventServiceError: as `create`; some items may have been stored, and may be sent again.
        """
        self._admission.admit(webhook.webhook_id)
        try:
            built = [build(draft, webhook, received_at, self._max_event_bytes) for draft, _ in items]
        except EventServiceError as error:
            self._outcomes.refused(webhook, error)
            raise
        # Longer than the hour by which Cloud Eye events may be late.
        expire_at = received_at + max(self._idempotency, timedelta(hours=2))
        project = json.dumps([webhook.domain_id, webhook.workspace_id, webhook.project_id])
        submissions = []
        for one, (_, identity) in zip(built, items, strict=True):
            record = IdempotencyRequest(record_id_of(project, f"event:{identity}"), "", expire_at)
            request = self._write_request(webhook, [one], record)
            submissions.append(self._submit(_Submission(CreateResult(), request=request)))
        try:
            results = [await _result_of(one) for one in submissions]
        except asyncio.CancelledError:
            _abandon(submissions)
            raise
        stored = [result for result in results if isinstance(result, CreateResult)]
        duplicates = sum(result.duplicate for result in stored)
        failure = next((result for result in results if isinstance(result, EventServiceError)), None)
        self._outcomes.drafts(webhook, len(stored) - duplicates, duplicates, failure)
        if failure is not None:
            raise failure
        return stored

    async def store(
        self,
        webhook: Webhook,
        drafts: Sequence[EventDraft],
        received_at: datetime,
        idempotency: IdempotencyRequest | None,
    ) -> CreateResult:
        """Store parsed events of the service itself in one write. Returns once all are journalled.

        Raises:
            EventServiceError: as `create`.
        """
        built = await self._deliveries.run_in_thread(build_all, drafts, webhook, received_at, self._max_event_bytes)
        result = await self._admission.submit(self._write_request(webhook, built, idempotency))
        self._outcomes.stored(webhook, result)
        return result

    async def _prepare(
        self, webhook: Webhook, delivery: Delivery | EventServiceError
    ) -> _Submission | EventServiceError:
        """Parse and build a delivery."""
        if isinstance(delivery, EventServiceError):
            return delivery
        errors = 0
        try:
            parsed = await self._deliveries.read(webhook, delivery)
            errors = len(parsed.bad_items)
            if len(parsed.events) + errors > MANY_EVENTS or delivery.is_large:
                submission = await self._deliveries.run_for(webhook, self._build, webhook, delivery, parsed)
            else:
                submission = self._build(webhook, delivery, parsed)
            errors = submission.errors
        except EventServiceError as error:
            return error
        finally:
            self._webhooks.count(webhook.webhook_id, error=bool(errors))
        return submission

    def _build(self, webhook: Webhook, delivery: Delivery, parsed: Parsed) -> _Submission:
        parsed, built = build_delivery(parsed, webhook, delivery, self._max_event_bytes)
        result = CreateResult(faults=parsed.faults, ignored=parsed.ignored, parser=parsed.source or parser_of(webhook))
        # The key of a delivery without events is remembered as well: with another payload it is refused.
        if not built and not delivery.idempotency_key:
            return _Submission(result)
        record = idempotency_of(
            delivery, webhook.webhook_id, parsed, key_lifetime=self._idempotency, body_lifetime=self._same_body
        )
        return _Submission(result, len(parsed.bad_items), self._write_request(webhook, built, record))

    def _write_request(
        self, webhook: Webhook, built: Sequence[EncodedEvent], idempotency: IdempotencyRequest | None
    ) -> WriteRequest:
        options = webhook.plugin.options
        self._retention.stamp([one.event for one in built], options)
        entries = []
        for one in built:
            event = one.event
            key = ConditionKey(
                event.webhook_id, event.domain_id, event.workspace_id, event.project_id, event.draft.event_key
            )
            entries.append(PendingEvent(one, key, condition_id_of(*key), has_past=not webhook.is_ours))
        return WriteRequest(entries, self._rules(options), idempotency)

    def _submit(self, submission: _Submission | EventServiceError) -> _Submission | EventServiceError:
        """Queue the request, unless it is queued already."""
        if isinstance(submission, EventServiceError) or submission.request is None or submission.answer is not None:
            return submission
        try:
            submission.answer = self._admission.submit(submission.request)
        except EventServiceError as error:
            return error.with_traceback(None)  # the traceback would keep the refused delivery alive
        return submission

    async def _finish(
        self, webhook: Webhook, submission: _Submission | EventServiceError
    ) -> CreateResult | EventServiceError:
        """Await the result and count it."""
        result = await _result_of(submission)
        if isinstance(result, EventServiceError):
            self._outcomes.refused(webhook, result)
            return result
        self._outcomes.stored(webhook, result, submission.errors if isinstance(submission, _Submission) else 0)
        return result.with_unmatched_ignored()


def _is_heavy(submission: _Submission | EventServiceError) -> bool:
    """Return whether it is queued without waiting for the rest of its batch.

    It is a batch of its own anyway. The queue has a bound, which small payloads that make many events must not evade.
    """
    return (
        isinstance(submission, _Submission)
        and submission.request is not None
        and len(submission.request.entries) > MANY_EVENTS
    )


async def _result_of(submission: _Submission | EventServiceError) -> CreateResult | EventServiceError:
    if isinstance(submission, EventServiceError):
        return submission
    result = submission.result
    if submission.answer is None:
        return result
    try:
        written = await submission.answer
    except EventServiceError as error:
        return error
    return result._replace(event_ids=written.event_ids, duplicate=written.duplicate, unmatched=written.unmatched)


def _abandon(submissions: Iterable[_Submission | EventServiceError]) -> None:
    """Drop the answers after a cancellation. Queued requests are written all the same."""
    for one in submissions:
        answer = one.answer if isinstance(one, _Submission) else None
        if answer is not None and not answer.cancel() and not answer.cancelled():
            answer.exception()  # or asyncio logs that it was never retrieved
