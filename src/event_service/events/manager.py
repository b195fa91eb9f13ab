"""What Event.create, get, list and stat do, whichever door a call comes through.

create: who is this (webhooks) > what is it (reading, normalize) > finished event (building) > which alert, and into the
store (the writer, whose batches `commit` writes). get, list, stat: validate (query) > scoped read (store).
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from event_service.errors import NotFound, RequiredParameter
from event_service.events.building import BuiltEvent, build
from event_service.events.commit import ClaimRequest, CreateItem, CreateResult, Entry
from event_service.events.conditions import AlertRules, condition_id_of
from event_service.events.reading import CreateRequest, DeliveryReader, claim_id_of
from event_service.model.event import EventDraft
from event_service.model.scope import Scope
from event_service.model.webhook import LONGEST_DUPLICATE_TIME, Webhook
from event_service.normalize import error_event
from event_service.query.fields import EVENT_FIELDS
from event_service.query.list_query import ListQuery, parse_list_query
from event_service.query.stat_query import StatQuery, parse_stat_query
from event_service.store.event_reader import Page
from event_service.store.event_writer import ConditionKey


@dataclass(slots=True)
class CreateOutcome:
    """What became of a delivery.

    Attributes:
        event_ids: ids of the stored events, in the payload's order.
        duplicate: nothing new was stored, it had been stored before.
        faults: what could not be understood and was stored as ERROR events, each with its path.
        ignored: what was left out on purpose, each with the reason.
    """

    event_ids: list[str] = field(default_factory=list)
    duplicate: bool = False
    faults: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DraftOutcome:
    """What became of one event that was created under its own identity.

    Attributes:
        event_id: of the stored event.
        duplicate: an event of this identity had been stored before.
    """

    event_id: str
    duplicate: bool


class Webhooks(Protocol):
    """What this manager needs of `webhooks/manager.py`."""

    async def authenticate(self, webhook_id: str, access_key: str) -> Webhook: ...
    def count(self, webhook_id: str, *, error: bool) -> None: ...


class Writer(Protocol):
    """What this manager needs of `store/writer.py`."""

    def submit(self, request: CreateItem) -> "asyncio.Future[CreateResult]": ...


class Reader(Protocol):
    """What this manager needs of `store/shared_reader.py`."""

    def get(self, scope: Scope, event_id: str) -> Awaitable[bytes | None]: ...
    def list(self, scope: Scope, query: ListQuery, asked: Mapping[str, Any]) -> Awaitable[Page]: ...
    def stat(self, scope: Scope, query: StatQuery, asked: Mapping[str, Any]) -> Awaitable[dict[str, Any]]: ...


class EventManager:
    """The service layer of events.

    Args:
        duplicate_event_time: seconds, unless the webhook says otherwise.
        idempotency_hours: how long an idempotency key is remembered.
        max_event_bytes: largest EventInfo that is stored.
    """

    def __init__(
        self,
        *,
        webhooks: Webhooks,
        deliveries: DeliveryReader,
        writer: Writer,
        reader: Reader,
        duplicate_event_time: int,
        store_unmatched_recovery: bool,
        idempotency_hours: int,
        max_event_bytes: int,
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._writer = writer
        self._reader = reader
        self._duplicate_event_time = duplicate_event_time
        self._store_unmatched_recovery = store_unmatched_recovery
        self._idempotency = timedelta(hours=idempotency_hours)
        self._max_event_bytes = max_event_bytes

    async def create(self, request: CreateRequest) -> CreateOutcome:
        """Stores what a monitoring tool delivered. Returns once it is journalled.

        Raises:
            NotFound, PermissionDenied, WebhookDisabled: the webhook does not take it.
            InvalidArgument, TooLarge: it could not be read back; nothing was stored.
            AlreadyExists: the idempotency key came with another payload before.
            Overloaded, Unavailable: nothing is promised; send again.
        """
        webhook = await self._webhooks.authenticate(request.webhook_id, request.access_key)
        parsed = await self._deliveries.read(webhook, request)
        outcome = CreateOutcome(faults=parsed.faults, ignored=list(parsed.ignored))
        drafts = parsed.events + [
            error_event(item, webhook_id=webhook.webhook_id, webhook_name=webhook.name) for item in parsed.bad_items
        ]
        self._webhooks.count(webhook.webhook_id, error=bool(parsed.bad_items))
        if not drafts:
            return outcome
        for draft in drafts:
            if draft.raw_data is request.payload:
                draft.raw_wire = request.payload_wire
        built = [build(draft, webhook, request.received_at, self._max_event_bytes) for draft in drafts]
        claim = self._deliveries.claim(webhook, request, parsed)
        result = await self._writer.submit(CreateItem(_entries(built), self._rules(webhook), claim))
        outcome.event_ids = list(result.event_ids)
        outcome.duplicate = result.duplicate
        outcome.ignored += [f"recovery without an open alert (event_key = {name})" for name in result.unmatched]
        return outcome

    async def create_drafts(
        self, webhook: Webhook, items: Sequence[tuple[EventDraft, str]], received_at: datetime
    ) -> Sequence[DraftOutcome]:
        """Stores events that have been read already, each once per identity, whatever else is in it.

        Args:
            webhook: authenticated.
            items: (event, identity); the identity is remembered like an idempotency key, and at least two hours.
                Events must have `always_store`.

        Returns:
            For each item what became of it. All are journalled.

        Raises:
            EventServiceError: as `create`; some items may have been stored, and may be sent again.
        """
        built = [build(draft, webhook, received_at, self._max_event_bytes) for draft, _ in items]
        rules = self._rules(webhook)
        expire_at = received_at + max(self._idempotency, timedelta(hours=2))
        futures = [
            self._writer.submit(
                CreateItem(
                    [entry], rules, ClaimRequest(claim_id_of(webhook.webhook_id, f"event:{identity}"), "", expire_at)
                )
            )
            for entry, (_, identity) in zip(_entries(built), items, strict=True)
        ]
        results = await asyncio.gather(*futures, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [
            DraftOutcome(result.event_ids[0], result.duplicate)
            for result in results
            if isinstance(result, CreateResult)
        ]

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
        return await self._reader.list(scope, parsed, {"query": query, "equals": equals})

    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]:
        """Aggregated values, as the reply's JSON; see `query/stat_query.py` for the language and its errors."""
        parsed = parse_stat_query(query, EVENT_FIELDS)
        return await self._reader.stat(scope, parsed, query)

    def _rules(self, webhook: Webhook) -> AlertRules:
        options = webhook.plugin.options
        seconds = options.get("duplicate_event_time")
        # Checked when a webhook is written; an upstream document may hold anything.
        if not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_DUPLICATE_TIME:
            seconds = self._duplicate_event_time
        return AlertRules(
            duplicate_event_time=timedelta(seconds=seconds),
            auto_recovery=options.get("auto_recovery", True) is not False,
            store_unmatched_recovery=self._store_unmatched_recovery,
        )


def _entries(built: Sequence[BuiltEvent]) -> list[Entry]:
    entries = []
    for one in built:
        event = one.event
        key = ConditionKey(
            event.webhook_id, event.domain_id, event.workspace_id, event.project_id, event.draft.event_key
        )
        name = condition_id_of(key.webhook_id, key.domain_id, key.workspace_id, key.project_id, key.event_key)
        entries.append(Entry(one, key, name))
    return entries
