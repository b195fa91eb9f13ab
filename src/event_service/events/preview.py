"""What a payload would become: read like a delivery, and not stored. For people who set a tool up."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from event_service.concurrency.thread_pool import T, Ts
from event_service.events.delivery import Delivery, build_delivery, keep_subscription
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook
from event_service.normalize.result import Parsed
from event_service.normalize.sns_trust import NOT_TRUSTED, trusted_topics
from event_service.wire.event_info import encode_event

ReadBody = Callable[[bytes, Mapping[str, str]], tuple[Any, str]]
"""The payload in a body with these headers, and why it is no JSON, "" if it is; as `http/collector.py` has it."""


MOST_SHOWN = 100
"""Events, and remarks of a kind, of one preview. Who sets a tool up looks at the first few."""

SHOWN_BYTES = 3 * 1024 * 1024
"""Bytes of a preview's events: clients take 4 MiB. The first event is shown whatever its size."""


class Webhooks(Protocol):
    """What is needed of `webhooks/manager.py`."""

    async def get_decrypted(self, scope: Scope, webhook_id: str) -> Webhook: ...


class Deliveries(Protocol):
    """What is needed of `events/delivery.py`."""

    async def parse(self, webhook: Webhook, delivery: Delivery) -> Parsed: ...
    def run_in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Preview:
    """What a payload would become.

    Attributes:
        parser: its name; "" where the body is not JSON and none reads its text.
        events: EventInfo bytes, without event_id and alert_id; those for what cannot be read come last. The first
            ones, where they are over MOST_SHOWN or SHOWN_BYTES; `ignored` then says how many more there are.
        faults, ignored: as `CreateOutcome` has them, the first MOST_SHOWN.
        message_id: what the delivery would be remembered by; "" for nothing.
    """

    parser: str
    events: list[bytes]
    faults: list[str]
    ignored: list[str]
    message_id: str


class Previewer:
    """Reads payloads for show.

    Args:
        max_event_bytes: largest EventInfo that is stored.
        clock: the time of receipt: timezone-aware UTC, whole milliseconds.
    """

    def __init__(
        self,
        *,
        webhooks: Webhooks,
        deliveries: Deliveries,
        read_body: ReadBody,
        max_event_bytes: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._read_body = read_body
        self._max_event_bytes = max_event_bytes
        self._clock = clock

    async def preview(
        self, scope: Scope, webhook_id: str, payload: Any, headers: Mapping[str, str], *, is_body: bool
    ) -> Preview:
        """What this webhook would make of a payload.

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
            payload, unreadable = await self._deliveries.run_in_thread(self._read_body, raw_body, headers)
        delivery = Delivery(
            payload=payload,
            received_at=self._clock(),
            headers=headers,
            raw_body=raw_body,
            unreadable=unreadable,
            unhurried=True,
        )
        parsed = await self._deliveries.parse(webhook, delivery)
        # The subscription of a topic that is trusted would be confirmed, if its signature holds: that makes no event.
        topics = trusted_topics(webhook.plugin.options)
        if not (parsed.subscription and parsed.subscription.message["TopicArn"] in topics):
            keep_subscription(parsed, NOT_TRUSTED)
        return await self._deliveries.run_in_thread(_preview, parsed, webhook, delivery, self._max_event_bytes)


def _preview(parsed: Parsed, webhook: Webhook, delivery: Delivery, max_event_bytes: int) -> Preview:
    parsed, built = build_delivery(parsed, webhook, delivery, max_event_bytes)
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
