"""Parse the payload of an ERROR event again, with today's parser, and store the result once."""

import base64
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument
from event_service.events.delivery import Delivery, DeliveryParser
from event_service.events.event_builder import all_drafts
from event_service.events.idempotency_key import record_id_of
from event_service.events.manager import EventManager
from event_service.events.ports import Webhooks
from event_service.events.write_request import CreateResult, IdempotencyRequest
from event_service.model.scope import Scope
from event_service.normalize import is_parse_error_event, read_body
from event_service.normalize.result import BODY, BODY_BASE64
from event_service.wire.struct_decode import struct_to_dict
from event_service.wire.timestamps import parse_timestamp

REPLAYED_FROM = "replayed_from"
"""Name in additional_info: the ERROR event that an event was parsed from."""

REMEMBERED = timedelta(days=3650)
"""Longer than any sender's key: a replay must not be stored again next week."""


class Replayer:
    """The replays of `Events.Replay`.

    Args:
        clock: timezone-aware UTC, whole milliseconds.
    """

    def __init__(
        self,
        *,
        webhooks: Webhooks,
        deliveries: DeliveryParser,
        events: EventManager,
        clock: Callable[[], datetime],
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._events = events
        self._clock = clock

    async def replay(self, scope: Scope, event_id: str) -> CreateResult:
        """Parse the payload of an ERROR event and store its events.

        Raises:
            RequiredParameter: no event_id.
            NotFound: the event or its webhook is not found in this scope.
            InvalidArgument: the event is not a parse-error event.
            Overloaded, Unavailable: the outcome is unknown; send again.
        """
        info = event_pb2.EventInfo.FromString(await self._events.get(scope, event_id))
        if not is_parse_error_event(info.event_type, info.event_key, info.title):
            raise InvalidArgument.at("event_id", "is not a parse-error event")
        webhook = await self._webhooks.get_decrypted(scope, info.webhook_id)
        first_received_at = parse_timestamp(info.created_at) if info.created_at else self._clock()
        payload, unreadable, raw_body = await self._deliveries.run_in_thread(_payload_of, info)
        delivery = Delivery(
            payload=payload,
            received_at=first_received_at,
            raw_body=raw_body,
            unreadable=unreadable,
            path="raw_data",
            in_thread=True,
        )
        parsed = await self._deliveries.parse(webhook, delivery)
        parsed.keep_subscription()
        result = CreateResult(faults=parsed.faults, ignored=parsed.ignored, parser=parsed.source)
        if not parsed.events:
            return result  # the ERROR event of what is still unreadable exists already
        for draft in parsed.events:
            draft.additional_info = {**draft.additional_info, REPLAYED_FROM: event_id}
            # Alerts follow event time: without this, an old problem would open an alert today.
            draft.occurred_at = draft.occurred_at or first_received_at
        now = self._clock()
        record = IdempotencyRequest(record_id_of(webhook.webhook_id, f"replay:{event_id}"), "", now + REMEMBERED)
        stored = await self._events.store(webhook, all_drafts(parsed, webhook), now, record)
        return stored._replace(
            faults=result.faults, ignored=result.ignored, parser=result.parser
        ).with_unmatched_ignored()


def _payload_of(info: event_pb2.EventInfo) -> tuple[Any, str, bytes | None]:
    """Return the delivered payload, why it is not JSON or "", and its bytes if it is not stored as an object."""
    raw_data = struct_to_dict(info.raw_data, path="raw_data")
    if raw_data.keys() == {BODY_BASE64} and isinstance(encoded := raw_data[BODY_BASE64], str):
        return *read_body(base64.b64decode(encoded), {}), None
    if raw_data.keys() != {BODY}:
        return raw_data, "", None
    body = raw_data[BODY]
    if isinstance(body, str) and body.strip():
        written = body.encode()
        return *read_body(written, {}), written
    return (raw_data if isinstance(body, dict) else body), "", None
