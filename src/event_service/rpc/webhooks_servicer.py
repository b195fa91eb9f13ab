"""event_service.v1.Webhooks: decodes requests, calls the managers, encodes replies."""

import asyncio
from datetime import datetime
from typing import Any

from event_service._gen.event_service.v1 import webhooks_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import RequiredParameter
from event_service.events.preview import Previewer
from event_service.identity.authorization import scope_of
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import check_payload, decode
from event_service.webhooks.manager import WebhookManager
from event_service.wire.json_text import LARGE_BODY
from event_service.wire.struct_decode import value_to_python
from event_service.wire.timestamps import format_timestamp
from event_service.wire.webhook_info import webhook_info

DESCRIPTOR = webhooks_pb2.DESCRIPTOR.services_by_name["Webhooks"]

PAYLOAD_METHODS = frozenset({"Test"})
"""Methods whose requests may be as large as deliveries."""


class WebhooksServicer:
    """The methods: serialised request -> serialised reply; fail by raising EventServiceErrors."""

    def __init__(self, manager: WebhookManager, previewer: Previewer) -> None:
        self._manager = manager
        self._previewer = previewer

    async def rotate_key(self, request: bytes, context: RpcContext) -> bytes:
        """RotateKeyRequest -> RotateKeyResponse, the only reply with the new access_key and webhook_url in clear."""
        scope = scope_of(context.caller, "Webhook", "write")
        message = decode(webhooks_pb2.RotateKeyRequest, request)
        webhook, access_key = await self._manager.rotate_key(scope, message.webhook_id, message.overlap_seconds)
        return webhooks_pb2.RotateKeyResponse(
            webhook=webhook_info(self._manager.fields(webhook, access_key)),
            previous_key_expires_at=_time(webhook.previous_key_expires_at),
        ).SerializeToString()

    async def test(self, request: bytes, context: RpcContext) -> bytes:
        """TestRequest -> TestResponse."""
        scope = scope_of(context.caller, "Webhook", "read")
        message, payload = (
            _test_request(request) if len(request) <= LARGE_BODY else await asyncio.to_thread(_test_request, request)
        )
        preview = await self._previewer.preview(
            scope, message.webhook_id, payload, dict(message.headers), is_body=message.HasField("body")
        )
        return webhooks_pb2.TestResponse(
            parser=preview.parser,
            events=map(event_pb2.EventInfo.FromString, preview.events),
            faults=preview.faults,
            ignored=preview.ignored,
            message_id=preview.message_id,
        ).SerializeToString()

    async def statistics(self, request: bytes, context: RpcContext) -> bytes:
        """StatisticsRequest -> StatisticsResponse."""
        scope = scope_of(context.caller, "Webhook", "read")
        message = decode(webhooks_pb2.StatisticsRequest, request)
        webhook = await self._manager.get(scope, message.webhook_id)
        activity = webhook.activity
        return webhooks_pb2.StatisticsResponse(
            webhook_id=webhook.webhook_id,
            calls=webhook.requests_total,
            stored=activity.stored,
            errors=activity.errors,
            duplicates=activity.duplicates,
            unmatched_recoveries=activity.unmatched,
            ignored=activity.ignored,
            refused=activity.refused,
            last_received_at=_time(activity.last_received_at),
            last_error_at=_time(activity.last_error_at),
            last_error=activity.last_error,
        ).SerializeToString()


def _test_request(request: bytes) -> tuple[webhooks_pb2.TestRequest, Any]:
    """Return the request and its payload."""
    check_payload(request, webhooks_pb2.TestRequest, "data")
    message = decode(webhooks_pb2.TestRequest, request)
    if not message.webhook_id:
        raise RequiredParameter("webhook_id")
    kind = message.WhichOneof("payload")
    if kind is None:
        raise RequiredParameter("data")
    payload = message.body if kind == "body" else value_to_python(message.data, path="data")
    if payload == {}:  # {} contains nothing to store
        raise RequiredParameter("data")
    return message, payload


def _time(at: datetime | None) -> str:
    return format_timestamp(at) if at else ""
