"""spaceone.api.monitoring.v1.Webhook: decodes requests, calls the manager, encodes replies."""

from functools import partial
from typing import Any

from event_service._gen.spaceone.api.monitoring.v1 import webhook_pb2
from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import InvalidArgument
from event_service.identity.authorization import scope_of
from event_service.model.webhook import Webhook
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import decode
from event_service.rpc.query_decode import decode_query
from event_service.webhooks.manager import WebhookManager
from event_service.wire.nesting import REPLY_LEVEL
from event_service.wire.struct_decode import struct_to_dict
from event_service.wire.struct_encode import encode_stored_struct
from event_service.wire.webhook_info import encode_webhooks_info, webhook_info

DESCRIPTOR = webhook_pb2.DESCRIPTOR.services_by_name["Webhook"]

_EMPTY = b""  # a serialised google.protobuf.Empty


class WebhookServicer:
    """The methods: serialised request -> serialised reply; fail by raising EventServiceErrors.

    Authorization precedes validation: a caller without the permission learns nothing about the request.

    Args:
        run_in_thread: decodes large queries; None = in the event loop.
    """

    def __init__(self, manager: WebhookManager, run_in_thread: RunInThread | None = None) -> None:
        self._manager = manager
        self._run_in_thread = run_in_thread

    async def create(self, request: bytes, context: RpcContext) -> bytes:
        """CreateWebhookRequest -> WebhookInfo, the only reply with access_key and webhook_url in clear."""
        message = decode(webhook_pb2.CreateWebhookRequest, request)
        scope = scope_of(context.caller, "Webhook", "write", message.project_id)
        webhook, access_key = await self._manager.create(
            scope,
            name=message.name,
            plugin_info=_plugin_info(message.plugin_info) if message.HasField("plugin_info") else None,
            project_id=message.project_id,
            tags=struct_to_dict(message.tags, path="tags") if message.HasField("tags") else None,
        )
        return self._encode(webhook, access_key)

    async def update(self, request: bytes, context: RpcContext) -> bytes:
        """UpdateWebhookRequest -> WebhookInfo."""
        scope = scope_of(context.caller, "Webhook", "write")
        message = decode(webhook_pb2.UpdateWebhookRequest, request)
        tags = struct_to_dict(message.tags, path="tags") if message.HasField("tags") else None
        return self._encode(await self._manager.update(scope, message.webhook_id, name=message.name, tags=tags))

    async def update_plugin(self, request: bytes, context: RpcContext) -> bytes:
        """UpdateWebhookPluginRequest -> WebhookInfo."""
        scope = scope_of(context.caller, "Webhook", "write")
        message = decode(webhook_pb2.UpdateWebhookPluginRequest, request)
        webhook = await self._manager.update_plugin(
            scope,
            message.webhook_id,
            version=message.version,
            options=struct_to_dict(message.options, path="options") if message.HasField("options") else None,
            upgrade_mode=_upgrade_mode(message.upgrade_mode, "upgrade_mode"),
        )
        return self._encode(webhook)

    async def verify_plugin(self, request: bytes, context: RpcContext) -> bytes:
        """WebhookRequest -> Empty, if the webhook's parser exists and accepts its options."""
        scope = scope_of(context.caller, "Webhook", "write")
        await self._manager.verify_plugin(scope, _webhook_id(request))
        return _EMPTY

    async def enable(self, request: bytes, context: RpcContext) -> bytes:
        """WebhookRequest -> WebhookInfo."""
        scope = scope_of(context.caller, "Webhook", "write")
        return self._encode(await self._manager.enable(scope, _webhook_id(request)))

    async def disable(self, request: bytes, context: RpcContext) -> bytes:
        """WebhookRequest -> WebhookInfo."""
        scope = scope_of(context.caller, "Webhook", "write")
        return self._encode(await self._manager.disable(scope, _webhook_id(request)))

    async def delete(self, request: bytes, context: RpcContext) -> bytes:
        """WebhookRequest -> Empty."""
        scope = scope_of(context.caller, "Webhook", "write")
        await self._manager.delete(scope, _webhook_id(request))
        return _EMPTY

    async def get(self, request: bytes, context: RpcContext) -> bytes:
        """WebhookRequest -> WebhookInfo."""
        scope = scope_of(context.caller, "Webhook", "read")
        return self._encode(await self._manager.get(scope, _webhook_id(request)))

    async def list(self, request: bytes, context: RpcContext) -> bytes:
        """WebhookQuery -> WebhooksInfo. Trailer page-limit: the number of rows, if the server's limit ended it."""
        fields = await decode_query(webhook_pb2.WebhookQuery, request, self._run_in_thread)
        scope = scope_of(context.caller, "Webhook", "read", fields.get("project_id", ""))
        query, access_key = fields.pop("query", {}), fields.pop("access_key", "")
        if "state" in fields:
            fields["state"] = _enum_name(webhook_pb2.WebhookQuery.WebhookState, fields["state"], "state")
        page = await self._manager.list(scope, query, fields, access_key)
        if page.cut:
            context.add_trailer("page-limit", str(len(page.rows)))
        return encode_webhooks_info(page.rows, page.total_count)

    async def stat(self, request: bytes, context: RpcContext) -> bytes:
        """WebhookStatQuery -> Struct."""
        scope = scope_of(context.caller, "Webhook", "read")
        fields = await decode_query(webhook_pb2.WebhookStatQuery, request, self._run_in_thread)
        encode = partial(encode_stored_struct, level=REPLY_LEVEL)
        return await self._manager.encoded_stat(scope, fields.get("query", {}), encode)

    def _encode(self, webhook: Webhook, access_key: str | None = None) -> bytes:
        fields = self._manager.fields(webhook, access_key) if access_key else self._manager.fields(webhook)
        return webhook_info(fields).SerializeToString()


def _webhook_id(request: bytes) -> str:
    return decode(webhook_pb2.WebhookRequest, request).webhook_id


def _plugin_info(message: webhook_pb2.WebhookPluginInfo) -> dict[str, Any]:
    """Return the writable fields; metadata comes from the plugin itself."""
    return {
        "plugin_id": message.plugin_id,
        "version": message.version,
        "options": struct_to_dict(message.options, path="plugin_info.options"),
        "upgrade_mode": _upgrade_mode(message.upgrade_mode, "plugin_info.upgrade_mode"),
    }


def _upgrade_mode(number: int, field: str) -> str:
    """Return the mode's name, "" for NONE, which on the wire equals an absent field."""
    return _enum_name(webhook_pb2.WebhookPluginInfo.UpgradeMode, number, field) if number else ""


def _enum_name(enum: Any, number: int, field: str) -> str:
    try:
        return str(enum.Name(number))
    except ValueError:  # enums of proto3 are open: any number may arrive
        raise InvalidArgument.at(field, f"{number} is not one of {', '.join(enum.keys())}") from None
