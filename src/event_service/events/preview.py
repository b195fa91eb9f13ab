"""Show which events a payload would become, without storing them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from event_service.events.delivery import Delivery, DeliveryParser, build_delivery
from event_service.events.ports import Webhooks
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook
from event_service.normalize import Parsed, read_body
from event_service.wire.event_info import encode_event

MOST_SHOWN = 100
"""Most events, faults and ignored reasons of one preview: the first few are enough to set a tool up."""

SHOWN_BYTES = 3 * 1024 * 1024
"""Bytes of a preview's events: gRPC clients accept 4 MiB. The first event is shown at any size."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The events that a payload would become.

    Attributes:
        parser: its name; "" if the body is not JSON and no parser reads its text.
        events: EventInfo bytes, without event_id and alert_id; ERROR events come last. At most MOST_SHOWN events and
            SHOWN_BYTES; `ignored` then says how many are left out.
        faults, ignored: as `CreateResult` has them, the first MOST_SHOWN.
        message_id: the sender's id by which a repeated delivery would be recognised; "" for none.
    """

    parser: str
    events: list[bytes]
    faults: list[str]
    ignored: list[str]
    message_id: str


class Previewer:
    """The previews of `Webhooks.Test`: payloads are parsed and not stored.

    Args:
        max_event_bytes: largest EventInfo that is stored.
        clock: the time of receipt: timezone-aware UTC, whole milliseconds.
    """

    def __init__(
        self,
        *,
        webhooks: Webhooks,
        deliveries: DeliveryParser,
        max_event_bytes: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._max_event_bytes = max_event_bytes
        self._clock = clock

    async def preview(
        self, scope: Scope, webhook_id: str, payload: Any, headers: Mapping[str, str], *, is_body: bool
    ) -> Preview:
        """Return the events that this webhook would make of a payload.

        Args:
            payload: a JSON value, or (`is_body`) the bytes of an HTTP body.
            headers: names in any case.

        Raises:
            RequiredParameter, NotFound: the webhook.
            RequiredParameter, InvalidArgument, TooLarge: the payload would be refused.
        """
        webhook = await self._webhooks.get_decrypted(scope, webhook_id)
        headers = {name.lower(): value for name, value in headers.items()}
        unreadable, raw_body = "", None
        if is_body:
            raw_body = payload
            payload, unreadable = await self._deliveries.run_in_thread(read_body, raw_body, headers)
        delivery = Delivery(
            payload=payload,
            received_at=self._clock(),
            headers=headers,
            raw_body=raw_body,
            unreadable=unreadable,
            in_thread=True,
        )
        parsed = await self._deliveries.preview(webhook, delivery)
        return await self._deliveries.run_in_thread(_preview, parsed, webhook, delivery, self._max_event_bytes)


def _preview(parsed: Parsed, webhook: Webhook, delivery: Delivery, max_event_bytes: int) -> Preview:
    parsed, built = build_delivery(replace(parsed, endings=[]), webhook, delivery, max_event_bytes)
    events: list[bytes] = []
    room = SHOWN_BYTES
    for one in built[:MOST_SHOWN]:
        wire = encode_event(replace(one.event, event_id=""))
        room -= len(wire)
        if room < 0 and events:
            break
        events.append(wire)
    ignored = _first(parsed.ignored)
    if len(events) < len(built):
        ignored.append(f"{len(built) - len(events)} more events, which are not shown")
    return Preview(parsed.source, events, _first(parsed.faults), ignored, parsed.message_id)


def _first(remarks: Sequence[str]) -> list[str]:
    more = len(remarks) - MOST_SHOWN
    return [*remarks[:MOST_SHOWN], f"and {more} more"] if more > 0 else list(remarks)
