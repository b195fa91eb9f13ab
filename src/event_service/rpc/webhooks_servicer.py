"""event_service.v1.Webhooks: decode, ask the managers, encode."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from event_service._gen.event_service.v1 import webhooks_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import RequiredParameter
from event_service.events.preview import Preview
from event_service.identity.access import scope_of
from event_service.model.scope import Scope
from event_service.model.webhook import Webhook
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import decode
from event_service.wire.json_text import LARGE_BODY
from event_service.wire.struct_decode import value_to_python
from event_service.wire.timestamps import format_timestamp
from event_service.wire.webhook_info import webhook_info

DESCRIPTOR = webhooks_pb2.DESCRIPTOR.services_by_name["Webhooks"]


class Webhooks(Protocol):
    """What this servicer needs of `webhooks/manager.py`."""

    async def get(self, scope: Scope, webhook_id: str) -> Webhook: ...
    async def rotate_key(self, scope: Scope, webhook_id: str, overlap: float = 0.0) -> tuple[Webhook, str]: ...
    def fields(self, webhook: Webhook, access_key: str = ...) -> Mapping[str, Any]: ...


class Previewer(Protocol):
    """What this servicer needs of `events/preview.py`."""

    async def preview(
        self, scope: Scope, webhook_id: str, payload: Any, headers: Mapping[str, str], *, is_body: bool
    ) -> Preview: ...


class WebhooksServicer:
    """Answers the methods; each takes and gives serialised messages and refuses by EventServiceErrors."""

    def __init__(self, manager: Webhooks, previewer: Previewer) -> None:
        self._manager = manager
        self._previewer = previewer

    async def rotate_key(self, request: bytes, call: RpcContext) -> bytes:
        """RotateKeyRequest -> RotateKeyResponse, with access_key and webhook_url in clear this once."""
        scope = scope_of(call.caller, "Webhook", "write")
        message = decode(webhooks_pb2.RotateKeyRequest, request)
        webhook, access_key = await self._manager.rotate_key(scope, message.webhook_id, message.overlap_seconds)
        return webhooks_pb2.RotateKeyResponse(
            webhook=webhook_info(self._manager.fields(webhook, access_key)),
            previous_key_expires_at=_time(webhook.previous_key_expires_at),
        ).SerializeToString()

    async def test(self, request: bytes, call: RpcContext) -> bytes:
        """TestRequest -> TestResponse."""
        scope = scope_of(call.caller, "Webhook", "read")
        message = decode(webhooks_pb2.TestRequest, request)
        if not message.webhook_id:
            raise RequiredParameter("webhook_id")
        kind = message.WhichOneof("payload")
        if kind is None:
            raise RequiredParameter("data")
        payload = _payload(message) if len(request) <= LARGE_BODY else await asyncio.to_thread(_payload, message)
        if payload == {}:  # {} holds nothing that could be lost
            raise RequiredParameter("data")
        preview = await self._previewer.preview(
            scope, message.webhook_id, payload, dict(message.headers), is_body=kind == "body"
        )
        return webhooks_pb2.TestResponse(
            parser=preview.parser,
            events=map(event_pb2.EventInfo.FromString, preview.events),
            faults=preview.faults,
            ignored=preview.ignored,
            message_id=preview.message_id,
        ).SerializeToString()

    async def statistics(self, request: bytes, call: RpcContext) -> bytes:
        """StatisticsRequest -> StatisticsResponse."""
        scope = scope_of(call.caller, "Webhook", "read")
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


def _payload(message: webhooks_pb2.TestRequest) -> Any:
    if message.HasField("body"):
        return message.body
    return value_to_python(message.data, path="data")


def _time(at: datetime | None) -> str:
    return format_timestamp(at) if at else ""
