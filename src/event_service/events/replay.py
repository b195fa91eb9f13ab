"""Payloads that could not be read when they came, read again by today's parser and stored once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument
from event_service.events.delivery import Delivery, record_id_of, keep_subscription
from event_service.events.event_builder import all_drafts
from event_service.events.preview import Deliveries, ReadBody, Webhooks
from event_service.events.write_request import CreateOutcome, CreateResult, IdempotencyRequest
from event_service.model.event import EventDraft
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook
from event_service.normalize import is_error_event
from event_service.wire.struct import struct_to_dict
from event_service.wire.timestamps import parse_timestamp

REPLAYED_FROM = "replayed_from"
"""Name in additional_info: the ERROR event that an event was read from."""

REMEMBERED = timedelta(days=3650)
"""A replay is remembered longer than any sender's key: it must not be stored again next week."""


class Events(Protocol):
    """What is needed of `events/manager.py`."""

    async def get(self, scope: Scope, event_id: str) -> bytes: ...
    async def store(
        self, webhook: Webhook, drafts: Sequence[EventDraft], received_at: datetime, claim: IdempotencyRequest
    ) -> CreateResult: ...


@dataclass(slots=True)
class Replay(CreateOutcome):
    """What became of the payload. `parser` is the name of who read it."""

    parser: str = ""


class Replayer:
    """Replays.

    Args:
        clock: timezone-aware UTC, whole milliseconds.
    """

    def __init__(
        self,
        *,
        webhooks: Webhooks,
        deliveries: Deliveries,
        events: Events,
        read_body: ReadBody,
        clock: Callable[[], datetime],
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._events = events
        self._read_body = read_body
        self._clock = clock

    async def replay(self, scope: Scope, event_id: str) -> Replay:
        """Reads the payload of an ERROR event again.

        Raises:
            RequiredParameter: no event_id.
            NotFound: the event or its webhook is missing, or somebody else's.
            InvalidArgument: the event does not stand for what could not be read.
            Overloaded, Unavailable: nothing is promised; ask again.
        """
        info = event_pb2.EventInfo.FromString(await self._events.get(scope, event_id))
        if not is_error_event(info.event_type, info.event_key, info.title):
            raise InvalidArgument.at("event_id", "stands for no payload that could not be read")
        webhook = await self._webhooks.get_opened(scope, info.webhook_id)
        first_received_at = parse_timestamp(info.created_at) if info.created_at else self._clock()
        payload, unreadable = await self._deliveries.run_in_thread(self._payload_of, info)
        delivery = Delivery(
            payload=payload, received_at=first_received_at, unreadable=unreadable, path="raw_data", unhurried=True
        )
        parsed = await self._deliveries.parse(webhook, delivery)
        keep_subscription(parsed)
        replay = Replay(faults=parsed.faults, ignored=parsed.ignored, parser=parsed.source)
        if not parsed.events:
            return replay  # what still cannot be read is there already
        for draft in parsed.events:
            draft.additional_info = {**draft.additional_info, REPLAYED_FROM: event_id}
            # Alerts and recoveries go by time, and this one was true long ago.
            draft.occurred_at = draft.occurred_at or first_received_at
        now = self._clock()
        claim = IdempotencyRequest(record_id_of(webhook.webhook_id, f"replay:{event_id}"), "", now + REMEMBERED)
        replay.complete(await self._events.store(webhook, all_drafts(parsed, webhook), now, claim))
        return replay

    def _payload_of(self, info: event_pb2.EventInfo) -> tuple[Any, str]:
        """What was delivered, and why it is no JSON, "" if it is: a payload that is no object was kept in one."""
        raw_data = struct_to_dict(info.raw_data, path="raw_data")
        if raw_data.keys() != {"body"}:
            return raw_data, ""
        body = raw_data["body"]
        if isinstance(body, str) and body.strip():
            payload, unreadable = self._read_body(body.encode(), {})
            return (raw_data if unreadable else payload), unreadable
        return (raw_data if isinstance(body, dict) else body), ""
