"""Parse deliveries: verify the sender, select the parser of the webhook, build events of the result.

Source: docs/collectors.md; "Parsing" of the Event API's rules.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from event_service.concurrency.thread_pool import ThreadPool, Ts
from event_service.errors import InvalidArgument, TooLarge
from event_service.events.event_builder import BatchTooLarge, EncodedEvent, all_drafts, build, build_all
from event_service.model.webhook import Webhook
from event_service.normalize import BadItem, Fault, Parsed, endpoint_of, mask_credentials, parse
from event_service.normalize.fields import clipped
from event_service.normalize.plain_text import title_of
from event_service.normalize.remote_plugin import RemotePlugins
from event_service.normalize.result import BODY, FROM_PLUGIN, DeliveryHooks, Json, raw_object
from event_service.normalize.signatures import check_shared_secrets
from event_service.wire.json_text import LARGE_BODY, duplicate_key

# `list`: of native events, among others.
_CHECKED = frozenset({"native", "list"})

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Delivery:
    """A payload as it was delivered to a webhook.

    Attributes:
        payload: the JSON value as received; an object if it came by gRPC.
        payload_wire: the same as serialised Struct, if known.
        received_at: timezone-aware UTC, whole milliseconds.
        idempotency_key: the sender's; "" for none.
        headers: HTTP headers, names in lower case.
        raw_body: the bytes the payload was parsed from, for signatures; None if it came by gRPC.
        unreadable: why the body has no known form; `payload` is then `{"body": text}` or `{"body_base64": text}`.
        path: the field name of the payload in errors.
        in_thread: always parse in a worker thread; throughput does not matter here.
    """

    payload: Any
    received_at: datetime
    payload_wire: bytes | None = None
    idempotency_key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_body: bytes | None = None
    unreadable: str = ""
    path: str = "data"
    in_thread: bool = False

    @property
    def is_large(self) -> bool:
        """Return whether work on the payload would block the event loop for too long."""
        return self.in_thread or len(self.payload_wire or self.raw_body or b"") > LARGE_BODY


@dataclass(slots=True, kw_only=True)
class CreateRequest(Delivery):
    """A delivery and its webhook, as `EventManager.admit` returned it."""

    webhook: Webhook


class DeliveryParser:
    """The built-in parsers and the remote plugins behind one interface.

    Args:
        hooks: of the vendors, see `normalize.delivery_hooks`.
        endpoints: the settings' table of remote plugins, plugin_id -> grpc://host:port.
        threads: for large payloads.
    """

    def __init__(
        self,
        *,
        remote: RemotePlugins,
        hooks: Sequence[DeliveryHooks],
        endpoints: Mapping[str, str],
        threads: ThreadPool,
    ) -> None:
        self._remote = remote
        self._hooks = hooks
        self._endpoints = endpoints
        self._threads = threads

    def is_remote(self, webhook: Webhook) -> bool:
        """Return whether a remote plugin parses the webhook's deliveries."""
        return bool(endpoint_of(webhook.plugin.plugin_id, webhook.plugin.options, self._endpoints))

    async def read(self, webhook: Webhook, delivery: Delivery) -> Parsed:
        """Verify the sender, parse the payload and confirm a subscription that waits for it.

        Raises:
            PermissionDenied: the webhook demands a signature that is missing or invalid.
            InvalidArgument: the payload could not be read back if it were stored.
            Unavailable: the signature cannot be checked at present.
        """
        options, received_at = webhook.plugin.options, delivery.received_at
        if options:  # most webhooks have none, and so no secret to check
            # A gRPC request has no body that could be signed: such a webhook refuses it.
            check_shared_secrets(delivery.headers, delivery.raw_body or b"", options)
            for hook in self._hooks:
                await hook.before_parse(delivery.payload, options, received_at)
        parsed = await self.parse(webhook, delivery)
        if parsed.subscription is not None:
            for hook in self._hooks:
                await hook.after_parse(parsed, options, received_at)
        return parsed

    async def preview(self, webhook: Webhook, delivery: Delivery) -> Parsed:
        """Parse a payload as `read` would, without verifying the sender or confirming anything."""
        parsed = await self.parse(webhook, delivery)
        for hook in self._hooks:
            hook.preview(parsed, webhook.plugin.options)
        return parsed

    async def parse(self, webhook: Webhook, delivery: Delivery) -> Parsed:
        """Parse a payload.

        Raises:
            InvalidArgument: the payload could not be read back if it were stored.
        """
        plugin = webhook.plugin
        endpoint = endpoint_of(plugin.plugin_id, plugin.options, self._endpoints)
        if endpoint and not delivery.unreadable:
            payload = await self.run_for(webhook, _masked, delivery) if delivery.is_large else _masked(delivery)
            return await self._remote.parse(endpoint, payload, plugin.options, delivery.received_at)
        if delivery.is_large:
            return await self.run_for(webhook, _parse, webhook, delivery)
        return _parse(webhook, delivery)

    def run_in_thread(self, function: Callable[[*Ts], T], *arguments: *Ts) -> Awaitable[T]:
        """Run work on a large payload in a thread; await its result."""
        return self._threads.run(function, *arguments)

    def run_for(self, webhook: Webhook, function: Callable[[*Ts], T], *arguments: *Ts) -> Awaitable[T]:
        """Run work as `run_in_thread` does, in turns with that for other webhooks."""
        return self._threads.run_for(webhook.webhook_id, function, *arguments)


def _masked(delivery: Delivery) -> Json:
    return mask_credentials(delivery.payload, delivery.payload_wire or delivery.raw_body)


def _parse(webhook: Webhook, delivery: Delivery) -> Parsed:
    plugin = webhook.plugin
    parsed = parse(
        plugin.plugin_id,
        _masked(delivery),
        delivery.headers,
        plugin.options,
        delivery.received_at,
        not_json=delivery.unreadable,
    )
    # One value of such a key would be lost. Tools' own formats are not checked: their libraries write no key twice.
    if parsed.source in _CHECKED and delivery.raw_body and (name := duplicate_key(delivery.raw_body, delivery.payload)):
        text = delivery.raw_body.decode("utf-8", "backslashreplace")
        fault = Fault("", f"the key {clipped(name)} is in an object twice", "duplicate-key")
        return Parsed(bad_items=[BadItem([fault], {BODY: text}, title_of(text))], source=parsed.source)
    return parsed


def build_delivery(
    parsed: Parsed, webhook: Webhook, delivery: Delivery, max_event_bytes: int
) -> tuple[Parsed, list[EncodedEvent]]:
    """Build the events of a delivery, then the ERROR events of its unreadable members.

    A payload that is too large to be split becomes one ERROR event. An event that a remote plugin made too large or
    too deep becomes the ERROR event of its member. Refusing them would lose them: the tool does not send them again.

    Returns:
        The parse result after these replacements, and the events.

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
        parsed = _replace_oversized(parsed, webhook, delivery, max_event_bytes)
    return parsed, build_each(parsed)


def _replace_oversized(parsed: Parsed, webhook: Webhook, delivery: Delivery, max_event_bytes: int) -> Parsed:
    good, bad = [], list(parsed.bad_items)
    for draft in parsed.events:
        try:
            build(draft, webhook, delivery.received_at, max_event_bytes, path=FROM_PLUGIN)
        except (InvalidArgument, TooLarge) as error:
            bad.append(BadItem([Fault(FROM_PLUGIN, error.message, "too-large")], draft.raw_data))
        else:
            good.append(draft)
    return replace(parsed, events=good, bad_items=bad)
