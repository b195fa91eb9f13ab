"""What a delivery says: the right parser for the webhook, and how a repeated delivery is known.

Source: docs/collectors.md; "Parsing" and "Idempotency" of the Event API's rules.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from event_service.concurrency.thread_pool import ThreadRunner, Ts
from event_service.errors import InvalidArgument, TooLarge
from event_service.events.event_builder import BatchTooLarge, EncodedEvent, all_drafts, build, build_all
from event_service.events.write_request import IdempotencyRequest
from event_service.model.webhook import Webhook
from event_service.normalize import BadItem, Fault, Parsed, endpoint_of, parse
from event_service.normalize.aws_sns import SUBSCRIPTION
from event_service.normalize.result import FROM_PLUGIN, Json, Subscription, raw_object
from event_service.normalize.routing_keys import without_routing_keys
from event_service.normalize.signatures import check_shared_secrets
from event_service.normalize.sns_trust import is_subscription, trusted_topics
from event_service.wire.json_text import LARGE_BODY

T = TypeVar("T")

_LONGEST_IDEMPOTENCY_KEY = 1024  # characters


@dataclass(slots=True, kw_only=True)
class Delivery:
    """What was delivered to a webhook.

    Attributes:
        payload: the JSON value as received; an object where it came by gRPC.
        payload_wire: the same as serialised Struct, where the caller has it anyway.
        received_at: timezone-aware UTC, whole milliseconds.
        idempotency_key: the sender's; "" for none.
        headers: lower-case HTTP headers, for formats that speak through them.
        raw_body: what the payload was parsed from, byte for byte, for signatures; None where it came by gRPC.
        unreadable: why the body is not JSON; `payload` is then `{"body": its text}`. "" where it is.
        path: what the sender knows the payload as, for errors.
        unhurried: it is taken for large whatever its size: nobody sends many of its kind, or waits for microseconds.
    """

    payload: Any
    received_at: datetime
    payload_wire: bytes | None = None
    idempotency_key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_body: bytes | None = None
    unreadable: str = ""
    path: str = "data"
    unhurried: bool = False

    @property
    def is_large(self) -> bool:
        """Whether whatever is done with the whole of it would keep all other calls waiting."""
        return self.unhurried or len(self.payload_wire or self.raw_body or b"") > LARGE_BODY


@dataclass(slots=True, kw_only=True)
class CreateRequest(Delivery):
    """A delivery, and to which webhook. The sender's right is not proved yet."""

    webhook_id: str
    access_key: str


class RemoteParsers(Protocol):
    """What is needed of `normalize/remote_plugin.py`."""

    async def parse(self, endpoint: str, payload: Any, options: Mapping[str, Any], received_at: datetime) -> Parsed: ...


class SnsTrust(Protocol):
    """What is needed of `normalize/sns_trust.py`."""

    async def verify(self, payload: Json, topics: Collection[str], now: datetime) -> None: ...
    async def confirm(self, subscription: Subscription, topics: Collection[str], now: datetime) -> str: ...


class DeliveryParser:
    """Reads deliveries.

    Args:
        endpoints: the settings' table of remote plugins, plugin_id -> grpc://host:port.
        idempotency: how long a sender's key is remembered.
        same_body: how long an equal body counts as the same delivery, where the sender's own times are in it.
    """

    def __init__(
        self,
        *,
        remote: RemoteParsers,
        sns: SnsTrust,
        endpoints: Mapping[str, str],
        threads: ThreadRunner,
        idempotency: timedelta,
        same_body: timedelta,
    ) -> None:
        self._remote = remote
        self._sns = sns
        self._endpoints = endpoints
        self._threads = threads
        self._idempotency = idempotency
        self._same_body = same_body

    def reads_remotely(self, webhook: Webhook) -> bool:
        """Whether a remote plugin reads the webhook's deliveries, and is to be waited for."""
        return bool(endpoint_of(webhook.plugin.plugin_id, webhook.plugin.options, self._endpoints))

    async def read(self, webhook: Webhook, delivery: Delivery) -> Parsed:
        """The events of a delivery, and what could not be read of it.

        Raises:
            PermissionDenied: the webhook demands a signature, and it is missing or does not hold.
            InvalidArgument: the payload could not be read back if it were stored.
            Unavailable: the signature cannot be checked just now.
        """
        topics: Collection[str] = ()
        if options := webhook.plugin.options:  # most webhooks have none, and demand nothing
            topics = trusted_topics(options)
            await self._check_signature(options, topics, delivery)
        parsed = await self.parse(webhook, delivery)
        if parsed.subscription is not None:
            refusal = await self._sns.confirm(parsed.subscription, topics, delivery.received_at)
            if refusal:
                keep_subscription(parsed, refusal)
        return parsed

    async def parse(self, webhook: Webhook, delivery: Delivery) -> Parsed:
        """The same without any check of where the delivery comes from; confirms nothing.

        Raises:
            InvalidArgument: the payload could not be read back if it were stored.
        """
        plugin = webhook.plugin
        endpoint = endpoint_of(plugin.plugin_id, plugin.options, self._endpoints)
        if endpoint and not delivery.unreadable:
            payload = await self._threads.run(_masked, delivery) if delivery.is_large else _masked(delivery)
            return await self._remote.parse(endpoint, payload, plugin.options, delivery.received_at)
        return await self._threads.run(_parse, webhook, delivery) if delivery.is_large else _parse(webhook, delivery)

    def run_in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts) -> Awaitable[T]:
        """Runs what would keep all other calls waiting in a thread."""
        return self._threads.run(function, *arguments)

    async def _check_signature(self, options: Mapping[str, Any], topics: Collection[str], delivery: Delivery) -> None:
        """Checks whatever signatures the webhook demands.

        What came by gRPC has no body that could be signed: such a webhook refuses it. The signature of SNS is inside
        the message, whichever way that came; a subscription that is not trusted is kept instead of refused.
        """
        check_shared_secrets(delivery.headers, delivery.raw_body or b"", options)
        if topics and not is_subscription(delivery.payload):
            await self._sns.verify(delivery.payload, topics, delivery.received_at)

    def claim(self, webhook: Webhook, delivery: Delivery, parsed: Parsed) -> IdempotencyRequest | None:
        """What the delivery is remembered by; None where sending it again makes another event.

        The sender's idempotency key counts first, and is refused with another payload. The message id of a format is
        the same for the same message, if not always byte for byte. Failing both, an equal body that carries the
        sender's own times is the same delivery for a minute; native payloads and gRPC requests never are.
        """
        if delivery.idempotency_key:
            expire_at = delivery.received_at + self._idempotency
            digest = _digest(delivery.payload, 2 if delivery.is_large else 0)
            return IdempotencyRequest(
                record_id_of(webhook.webhook_id, f"key:{delivery.idempotency_key}"), digest, expire_at
            )
        if parsed.message_id:
            expire_at = delivery.received_at + self._idempotency
            return IdempotencyRequest(record_id_of(webhook.webhook_id, f"message:{parsed.message_id}"), "", expire_at)
        if parsed.timestamped and delivery.raw_body is not None and self._same_body:
            body = hashlib.sha256(delivery.raw_body).hexdigest()
            expire_at = delivery.received_at + self._same_body
            return IdempotencyRequest(record_id_of(webhook.webhook_id, f"body:{body}"), "", expire_at)
        return None


def _masked(delivery: Delivery) -> Json:
    """The payload without PagerDuty's credentials."""
    return without_routing_keys(delivery.payload, delivery.payload_wire or delivery.raw_body)


def _parse(webhook: Webhook, delivery: Delivery) -> Parsed:
    plugin = webhook.plugin
    return parse(
        plugin.plugin_id,
        _masked(delivery),
        delivery.headers,
        plugin.options,
        delivery.received_at,
        not_json=delivery.unreadable,
    )


def build_delivery(
    parsed: Parsed, webhook: Webhook, delivery: Delivery, max_event_bytes: int
) -> tuple[Parsed, list[EncodedEvent]]:
    """The finished events of a delivery: of what was read, then those that stand for what could not be.

    What is too much to be split becomes one event that stands for all of it, and an event that a remote plugin made
    larger or deeper than one may be becomes one that stands for its member of the payload. Were they refused, the tool
    would not send them again, and nothing authentic is to be lost.

    Returns:
        What became of the payload after all, and its events.

    Raises:
        InvalidArgument, TooLarge: an event could not be read back if it were stored.
    """

    def build_each(parsed: Parsed) -> list[EncodedEvent]:
        drafts = all_drafts(parsed, webhook)
        for draft in drafts:
            if draft.raw_data is delivery.payload:
                draft.raw_wire = delivery.payload_wire
        return build_all(drafts, webhook, delivery.received_at, max_event_bytes, delivery.path)

    try:
        return parsed, build_each(parsed)
    except BatchTooLarge as error:
        whole = BadItem([Fault("", error.message, "too-much")], raw_object(_masked(delivery)))
        parsed = replace(parsed, events=[], bad_items=[whole], ignored=[])
    except (InvalidArgument, TooLarge):
        if parsed.source != FROM_PLUGIN:
            raise
        parsed = _with_bad_items_for_the_oversized(parsed, webhook, delivery, max_event_bytes)
    return parsed, build_each(parsed)


def _with_bad_items_for_the_oversized(
    parsed: Parsed, webhook: Webhook, delivery: Delivery, max_event_bytes: int
) -> Parsed:
    good, bad = [], list(parsed.bad_items)
    for draft in parsed.events:
        try:
            build(draft, webhook, delivery.received_at, max_event_bytes, path=FROM_PLUGIN)
        except (InvalidArgument, TooLarge) as error:
            bad.append(BadItem([Fault(FROM_PLUGIN, error.message, "too-large")], draft.raw_data))
        else:
            good.append(draft)
    return replace(parsed, events=good, bad_items=bad)


def keep_subscription(parsed: Parsed, refusal: str = "") -> None:
    """Makes the subscription of an SNS topic, which nobody has confirmed, the event that carries its link.

    Args:
        refusal: why it was not confirmed, one sentence.
    """
    if parsed.subscription is None:
        return
    event = parsed.subscription.event
    if refusal:
        event.description += f"\nIt was not confirmed by itself: {refusal}"
    parsed.events.append(event)
    parsed.ignored.remove(SUBSCRIPTION)
    parsed.subscription = None


def checked_idempotency_key(given: str, path: str) -> str:
    """The key without blanks around it; "" for none.

    Raises:
        InvalidArgument: it is too long; says so of `path`.
    """
    key = given.strip()
    if len(key) > _LONGEST_IDEMPOTENCY_KEY:
        raise InvalidArgument.at(path, f"is longer than {_LONGEST_IDEMPOTENCY_KEY} characters")
    return key


def record_id_of(owner: str, key: str) -> str:
    """The name under which a key is remembered: per owner, which mostly is a webhook's id, 64 hexadecimal digits."""
    return hashlib.sha256(f"{len(owner)}:{owner}{key}".encode("utf-8", "surrogatepass")).hexdigest()


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_MAY_HOLD_INTEGERS = frozenset({int, dict, list})


def _digest(payload: Any, levels: int) -> str:
    """The same for equal payloads, whichever way they came: every number counts as the double it is in a Struct.

    Args:
        levels: are written member by member, since no other thread runs while `json` writes.
    """
    digest = hashlib.sha256()
    for piece in _pieces(payload, levels):
        digest.update(piece.encode())
    return digest.hexdigest()


def _pieces(value: Any, levels: int) -> Iterator[str]:
    """JSON with sorted keys and no blanks, in pieces."""
    if levels and value and isinstance(value, dict):
        before = "{"
        for name, member in sorted(value.items()):
            yield f"{before}{json.dumps(name)}:"
            yield from _pieces(member, levels - 1)
            before = ","
        yield "}"
    elif levels and value and isinstance(value, list):
        before = "["
        for member in value:
            yield before
            yield from _pieces(member, levels - 1)
            before = ","
        yield "]"
    else:
        yield _canonical(_with_doubles(value))


def _with_doubles(value: Any) -> Any:
    """The value without integers; the very same object where it has none."""
    if type(value) is int:
        return float(value)
    if type(value) is list:
        return [_with_doubles(member) if type(member) in _MAY_HOLD_INTEGERS else member for member in value]
    changed: dict[str, Any] | None = None
    if type(value) is dict:
        for key, member in value.items():
            if type(member) in _MAY_HOLD_INTEGERS and (doubles := _with_doubles(member)) is not member:
                changed = changed or dict(value)
                changed[key] = doubles
    return value if changed is None else changed
