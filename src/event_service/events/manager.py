"""What Event.create, get, list and stat do, whichever door a call comes through.

create: who is this (webhooks) > what is it (reading, normalize) > finished event (building) > which alert, and into the
store (the writer, whose batches `commit` writes). create_batch: the same, who is this but once. get, list, stat:
validate (query) > scoped read (store).
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, Protocol

from event_service.errors import EventServiceError, NotFound, RequiredParameter
from event_service.events.alert_rules import AlertRules, condition_id_of, rules_of
from event_service.events.delivery import CreateRequest, Delivery, DeliveryParser, build_delivery, record_id_of
from event_service.events.event_builder import EncodedEvent, build, build_all
from event_service.events.outcome_metrics import Counters, Metrics, OutcomeMetrics, parser_of
from event_service.events.write_request import (
    CreateOutcome,
    CreateResult,
    IdempotencyRequest,
    PendingEvent,
    WriteRequest,
)
from event_service.model.condition import ConditionKey
from event_service.model.event import EventDraft
from event_service.model.retention import Retention
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook
from event_service.normalize import Parsed
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import ListQuery, parse_list_query
from event_service.query.stat_query import StatQuery, parse_stat_query
from event_service.store.event_reader import Page

SLICE_SECONDS = 0.005
"""How long a batch is worked on before other calls get their turn on the event loop."""

MANY_EVENTS = 100
"""More events of one delivery are built in a thread, as those of a large one: all other calls would have to wait."""

REMOTE_AT_ONCE = 16
"""Payloads of one batch that a remote plugin is asked about at the same time."""


@dataclass(slots=True)
class _Prepared:
    """A delivery on its way.

    Attributes:
        parser: a built-in parser's name, or "other"; for metrics.
        unreadable: the first fault of each event that stands for what could not be read.
        item: what is to be stored of it; None for nothing.
        answer: the writer's, once it has been asked.
    """

    outcome: CreateOutcome
    parser: str
    unreadable: Sequence[str] = ()
    item: WriteRequest | None = None
    answer: "asyncio.Future[CreateResult] | None" = None


@dataclass(frozen=True, slots=True)
class DraftOutcome:
    """What became of one event that was created under its own identity.

    Attributes:
        event_id: of the stored event.
        duplicate: an event of this identity had been stored before.
    """

    event_id: str
    duplicate: bool


class Webhooks(Counters, Protocol):
    """What this manager needs of `webhooks/manager.py`."""

    async def authenticate(self, webhook_id: str, access_key: str) -> Webhook: ...
    def count(self, webhook_id: str, *, error: bool) -> None: ...


class AdmissionControl(Protocol):
    """What this manager needs of `events/admission.py`."""

    def admit(self, webhook_id: str) -> None: ...
    def submit(self, request: WriteRequest) -> "asyncio.Future[CreateResult]": ...


class Reader(Protocol):
    """What this manager needs of `store/event_reader.py`."""

    def get(self, scope: Scope, event_id: str) -> Awaitable[bytes | None]: ...
    def list(self, scope: Scope, query: ListQuery) -> Awaitable[Page]: ...
    def stat(self, scope: Scope, query: StatQuery) -> Awaitable[dict[str, Any]]: ...


class EventManager:
    """The service layer of events.

    Args:
        rules: how events are tied to alerts, unless the webhook says otherwise.
        idempotency_hours: how long an idempotency key is remembered.
        max_event_bytes: largest EventInfo that is stored.
        metrics: told what became of events and deliveries.
        retention: how long events are kept; by default for ever.
    """

    def __init__(
        self,
        *,
        webhooks: Webhooks,
        deliveries: DeliveryParser,
        door: AdmissionControl,
        reader: Reader,
        rules: AlertRules,
        idempotency_hours: int,
        max_event_bytes: int,
        metrics: Metrics,
        retention: Retention | None = None,
    ) -> None:
        self._accounts = OutcomeMetrics(metrics, webhooks)
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._door = door
        self._reader = reader
        self._rules = partial(rules_of, rules)
        self._idempotency = timedelta(hours=idempotency_hours)
        self._max_event_bytes = max_event_bytes
        self._retention = retention or Retention()

    async def create(self, request: CreateRequest) -> CreateOutcome:
        """Stores what a monitoring tool delivered. Returns once it is journalled.

        Raises:
            NotFound, PermissionDenied, WebhookDisabled: the webhook does not take it.
            InvalidArgument, TooLarge: it could not be read back; nothing was stored.
            AlreadyExists: the idempotency key came with another payload before.
            Overloaded, Unavailable: nothing is promised; send again.
        """
        webhook = await self._webhooks.authenticate(request.webhook_id, request.access_key)
        try:
            prepared = await self._prepare(webhook, self._rules(webhook.plugin.options), request)
            result = None
            if prepared.item is not None:
                result = await self._door.submit(prepared.item)
        except EventServiceError as error:
            self._accounts.refused(webhook, error)
            raise
        return self._finish(webhook, prepared, result)

    async def create_batch(
        self, webhook_id: str, access_key: str, deliveries: Iterable[Delivery | EventServiceError]
    ) -> list[CreateOutcome | EventServiceError]:
        """Stores many deliveries to one webhook, each as `create` would. Returns once all are journalled or refused.

        Args:
            deliveries: looked at one after the other, once the webhook is known to take them. An error stands for one
                that was refused already.

        Returns:
            For each delivery what became of it: an error says that nothing of this one is promised.

        Raises:
            NotFound, PermissionDenied, WebhookDisabled: the webhook takes none of them.
            Unavailable: the webhook could not be looked up.
        """
        webhook = await self._webhooks.authenticate(webhook_id, access_key)
        rules = self._rules(webhook.plugin.options)
        prepared: list[_Prepared | EventServiceError] = []
        try:
            if self._deliveries.reads_remotely(webhook):
                rest = iter(deliveries)
                while some := list(islice(rest, REMOTE_AT_ONCE)):
                    more = await asyncio.gather(*(self._try_to_prepare(webhook, rules, one) for one in some))
                    prepared += [self._submit(one) if _is_heavy(one) else one for one in more]
            else:
                turn_ends = time.monotonic() + SLICE_SECONDS
                for delivery in deliveries:
                    one = await self._try_to_prepare(webhook, rules, delivery)
                    prepared.append(self._submit(one) if _is_heavy(one) else one)
                    if time.monotonic() > turn_ends:
                        await asyncio.sleep(0)
                        turn_ends = time.monotonic() + SLICE_SECONDS
            # One right after the other, so that one write takes them all.
            submitted = [self._submit(one) for one in prepared]
            return [await self._outcome_of(webhook, one) for one in submitted]
        except asyncio.CancelledError:
            _abandon(prepared)
            raise

    async def _try_to_prepare(
        self, webhook: Webhook, rules: AlertRules, delivery: Delivery | EventServiceError
    ) -> _Prepared | EventServiceError:
        if isinstance(delivery, EventServiceError):
            return delivery
        try:
            return await self._prepare(webhook, rules, delivery)
        except EventServiceError as error:
            return error

    async def _prepare(self, webhook: Webhook, rules: AlertRules, delivery: Delivery) -> _Prepared:
        """What is known of a delivery before it is stored, and what is to be stored, if anything."""
        parsed = Parsed()
        try:
            parsed = await self._deliveries.read(webhook, delivery)
            if len(parsed.events) + len(parsed.bad_items) > MANY_EVENTS or delivery.is_large:
                parsed, built, claim = await self._deliveries.run_in_thread(self._build, parsed, webhook, delivery)
            else:
                parsed, built, claim = self._build(parsed, webhook, delivery)
        finally:
            self._webhooks.count(webhook.webhook_id, error=bool(parsed.bad_items))
        outcome = CreateOutcome(faults=parsed.faults, ignored=list(parsed.ignored))
        parser = parsed.source or parser_of(webhook)
        if not built and not delivery.idempotency_key:
            return _Prepared(outcome, parser)
        item = WriteRequest(self._entries(built, webhook), rules, claim)
        return _Prepared(outcome, parser, [str(bad.faults[0]) for bad in parsed.bad_items], item)

    def _build(
        self, parsed: Parsed, webhook: Webhook, delivery: Delivery
    ) -> tuple[Parsed, list[EncodedEvent], IdempotencyRequest | None]:
        """What became of a payload after all, its events, and what it is remembered by: all that may take long."""
        parsed, built = build_delivery(parsed, webhook, delivery, self._max_event_bytes)
        return parsed, built, self._deliveries.claim(webhook, delivery, parsed)

    def _submit(self, prepared: _Prepared | EventServiceError) -> _Prepared | EventServiceError:
        """Queues what is to be stored and is not queued yet."""
        if isinstance(prepared, EventServiceError) or prepared.item is None or prepared.answer is not None:
            return prepared
        try:
            prepared.answer = self._door.submit(prepared.item)
        except EventServiceError as error:
            return error.with_traceback(None)  # it would keep alive what was refused
        return prepared

    async def _outcome_of(
        self, webhook: Webhook, prepared: _Prepared | EventServiceError
    ) -> CreateOutcome | EventServiceError:
        if isinstance(prepared, EventServiceError):
            self._accounts.refused(webhook, prepared)
            return prepared
        result = await _result_of(prepared)
        if isinstance(result, EventServiceError):
            self._accounts.refused(webhook, result)
            return result
        return self._finish(webhook, prepared, result)

    def _finish(self, webhook: Webhook, prepared: _Prepared, result: CreateResult | None) -> CreateOutcome:
        """The outcome with what the store says, and counted."""
        outcome = prepared.outcome
        if result is None:
            self._accounts.nothing(webhook, prepared.parser, outcome.ignored)
            return outcome
        self._accounts.stored(webhook, prepared.parser, result, outcome.ignored, prepared.unreadable)
        outcome.complete(result)
        return outcome

    async def create_drafts(
        self, webhook: Webhook, items: Sequence[tuple[EventDraft, str]], received_at: datetime
    ) -> Sequence[DraftOutcome]:
        """Stores events that have been read already, each once per identity, whatever else is in it.

        Args:
            webhook: authenticated.
            items: (event, identity); the identity is remembered like an idempotency key, but for all webhooks of the
                project, and at least two hours. Events must have `always_store`.

        Returns:
            For each item what became of it. All are journalled.

        Raises:
            EventServiceError: as `create`; some items may have been stored, and may be sent again.
        """
        self._door.admit(webhook.webhook_id)
        try:
            built = [build(draft, webhook, received_at, self._max_event_bytes) for draft, _ in items]
        except EventServiceError as error:
            self._accounts.refused(webhook, error)
            raise
        rules = self._rules(webhook.plugin.options)
        expire_at = received_at + max(self._idempotency, timedelta(hours=2))
        project = json.dumps([webhook.domain_id, webhook.workspace_id, webhook.project_id])
        claims = [
            IdempotencyRequest(record_id_of(project, f"event:{identity}"), "", expire_at) for _, identity in items
        ]
        submitted = [
            self._submit(_Prepared(CreateOutcome(), "", item=WriteRequest([entry], rules, claim)))
            for entry, claim in zip(self._entries(built, webhook), claims, strict=True)
        ]
        try:
            results = [await _result_of(one) for one in submitted]
        except asyncio.CancelledError:
            _abandon(submitted)
            raise
        outcomes = [
            DraftOutcome(result.event_ids[0], result.duplicate)
            for result in results
            if isinstance(result, CreateResult)
        ]
        duplicates = sum(outcome.duplicate for outcome in outcomes)
        failure = next((result for result in results if isinstance(result, EventServiceError)), None)
        self._accounts.drafts(webhook, len(outcomes) - duplicates, duplicates, failure)
        if failure is not None:
            raise failure
        return outcomes

    async def store(
        self, webhook: Webhook, drafts: Sequence[EventDraft], received_at: datetime, claim: IdempotencyRequest | None
    ) -> CreateResult:
        """Stores events that belong together and have been read already, once for the claim if there is one.

        Raises:
            EventServiceError: as `create`.
        """
        built = await self._deliveries.run_in_thread(build_all, drafts, webhook, received_at, self._max_event_bytes)
        result = await self._door.submit(
            WriteRequest(self._entries(built, webhook), self._rules(webhook.plugin.options), claim)
        )
        self._accounts.stored(webhook, parser_of(webhook), result, (), ())
        return result

    def _entries(self, built: Sequence[EncodedEvent], webhook: Webhook) -> list[PendingEvent]:
        self._retention.stamp([one.event for one in built], webhook.plugin.options)
        entries = []
        for one in built:
            event = one.event
            key = ConditionKey(
                event.webhook_id, event.domain_id, event.workspace_id, event.project_id, event.draft.event_key
            )
            name = condition_id_of(key.webhook_id, key.domain_id, key.workspace_id, key.project_id, key.event_key)
            entries.append(PendingEvent(one, key, name, has_past=not webhook.is_ours))
        return entries

    async def get(self, scope: Scope, event_id: str) -> bytes:
        """One event as EventInfo bytes.

        Raises:
            RequiredParameter: no event_id.
            NotFound: missing, or somebody else's.
        """
        if not event_id:
            raise RequiredParameter("event_id")
        wire = await self._reader.get(scope, event_id)
        if wire is None:
            raise NotFound("event_id", event_id)
        return wire

    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> Page:
        """Events that match, as EventInfo bytes; see `query/list_query.py` for the language and its errors."""
        parsed = parse_list_query(query, equals, EVENT_FIELDS)
        return await self._reader.list(scope, parsed)

    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
        """Aggregated values, as the reply's JSON; see `query/stat_query.py` for the language and its errors."""
        parsed = parse_stat_query(query, EVENT_FIELDS)
        return await self._reader.stat(scope, parsed)


def _is_heavy(prepared: _Prepared | EventServiceError) -> bool:
    """Whether it is written by itself anyway, and need not wait for the rest of its batch.

    The queue has a bound, and what waits outside of it has none: small payloads may become very much.
    """
    return isinstance(prepared, _Prepared) and prepared.item is not None and len(prepared.item.entries) > MANY_EVENTS


async def _result_of(submitted: _Prepared | EventServiceError) -> CreateResult | EventServiceError | None:
    """The writer's answer, or why there is none; None where nothing was to be stored."""
    if isinstance(submitted, EventServiceError):
        return submitted
    try:
        return None if submitted.answer is None else await submitted.answer
    except EventServiceError as error:
        return error


def _abandon(submitted: Iterable[_Prepared | EventServiceError]) -> None:
    """Nobody waits for these answers any more. What is queued is written all the same."""
    for one in submitted:
        answer = one.answer if isinstance(one, _Prepared) else None
        if answer is not None and not answer.cancel() and not answer.cancelled():
            answer.exception()  # lest asyncio complains that nobody has asked for it
