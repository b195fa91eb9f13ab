"""What a payload would become: read like a delivery, and not stored. For people who set a tool up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from event_service.events.reading import Delivery, keep_subscription
from event_service.model.event import Event
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook
from event_service.normalize import error_event
from event_service.normalize.result import Parsed
from event_service.normalize.sns_trust import NOT_TRUSTED, trusted_topics
from event_service.wire.event_info import check_size, encode_event

ReadBody = Callable[[bytes], tuple[Any, str]]
"""The payload in the bytes of a body, and why it is no JSON, "" if it is; as `http/collector.py` has it."""


class Webhooks(Protocol):
    """What is needed of `webhooks/manager.py`."""

    async def get_opened(self, scope: Scope, webhook_id: str) -> Webhook: ...


class Deliveries(Protocol):
    """What is needed of `events/reading.py`."""

    async def parse(self, webhook: Webhook, delivery: Delivery) -> Parsed: ...


@dataclass(frozen=True, slots=True)
class Preview:
    """What a payload would become.

    Attributes:
        parser: its name; "" where the body is not JSON.
        events: EventInfo bytes, without event_id and alert_id; those for what cannot be read come last.
        faults, ignored: as `CreateOutcome` has them.
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
        webhook = await self._webhooks.get_opened(scope, webhook_id)
        unreadable, raw_body = "", None
        if is_body:
            raw_body = payload
            payload, unreadable = self._read_body(raw_body)
        delivery = Delivery(
            payload=payload,
            received_at=self._clock(),
            headers={name.lower(): value for name, value in headers.items()},
            raw_body=raw_body,
            unreadable=unreadable,
        )
        parsed = await self._deliveries.parse(webhook, delivery)
        # The subscription of a topic that is trusted would be confirmed, if its signature holds: that makes no event.
        topics = trusted_topics(webhook.plugin.options)
        if not (parsed.subscription and parsed.subscription.message["TopicArn"] in topics):
            keep_subscription(parsed, NOT_TRUSTED)
        drafts = parsed.events + [
            error_event(item, webhook_id=webhook.webhook_id, webhook_name=webhook.name) for item in parsed.bad_items
        ]
        events = []
        for draft in drafts:
            wire = encode_event(
                Event(
                    event_id="",
                    draft=draft,
                    domain_id=webhook.domain_id,
                    workspace_id=webhook.workspace_id,
                    project_id=webhook.project_id,
                    webhook_id=webhook.webhook_id,
                    created_at=delivery.received_at,
                )
            )
            check_size(wire, self._max_event_bytes)
            events.append(wire)
        return Preview(parsed.source, events, parsed.faults, parsed.ignored, parsed.message_id)
