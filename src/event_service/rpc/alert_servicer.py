"""spaceone.api.monitoring.v1.Alert: decodes requests, calls the manager, encodes replies."""

from functools import partial
from typing import Any

from event_service._gen.spaceone.api.monitoring.v1 import alert_pb2
from event_service.alerts.manager import AlertManager
from event_service.concurrency.single_flight import SingleFlight
from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import InvalidArgument, RequiredParameter, Unimplemented
from event_service.identity.authorization import scope_of
from event_service.identity.principal import Principal
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import decode
from event_service.rpc.query_decode import decode_query
from event_service.wire.alert_info import encode_alert_info, encode_alerts_info
from event_service.wire.nesting import REPLY_LEVEL
from event_service.wire.struct_encode import encode_stored_struct

DESCRIPTOR = alert_pb2.DESCRIPTOR.services_by_name["Alert"]

_Query = tuple[Principal, bytes]  # the caller and the serialised request
_EMPTY = b""  # a serialised google.protobuf.Empty


class AlertServicer:
    """The methods: serialised request -> serialised reply; fail by raising EventServiceErrors.

    Authorization precedes validation: a caller without the permission learns nothing about the request.

    Args:
        run_in_thread: decodes large queries; None = in the event loop.
    """

    def __init__(self, manager: AlertManager, run_in_thread: RunInThread | None = None) -> None:
        self._manager = manager
        self._run_in_thread = run_in_thread
        self._lists = SingleFlight(self._list)
        self._stats = SingleFlight(self._stat)

    async def create(self, request: bytes, context: RpcContext) -> bytes:
        """CreateAlertRequest -> AlertInfo."""
        scope = scope_of(context.caller, "Alert", "write")
        message = decode(alert_pb2.CreateAlertRequest, request)
        scope_of(context.caller, "Alert", "write", message.project_id)
        fields = await self._manager.create(
            scope,
            context.caller.user_id,
            title=message.title,
            project_id=message.project_id,
            description=message.description,
            assignee=message.assignee,
            urgency=_urgency(message.urgency),
        )
        return encode_alert_info(fields)

    async def update(self, request: bytes, context: RpcContext) -> bytes:
        """UpdateAlertRequest -> AlertInfo."""
        scope = scope_of(context.caller, "Alert", "write")
        message = decode(alert_pb2.UpdateAlertRequest, request)
        scope_of(context.caller, "Alert", "write", message.project_id)
        fields = await self._manager.update(
            scope,
            context.caller.user_id,
            message.alert_id,
            title=message.title,
            state=message.state,
            description=message.description,
            reset_description=message.reset_description,
            urgency=_urgency(message.urgency),
            project_id=message.project_id,
        )
        return encode_alert_info(fields)

    async def assign_user(self, request: bytes, context: RpcContext) -> bytes:
        """AssignUserRequest -> AlertInfo."""
        scope = scope_of(context.caller, "Alert", "write")
        message = decode(alert_pb2.AssignUserRequest, request)
        fields = await self._manager.assign_user(scope, message.alert_id, message.assignee)
        return encode_alert_info(fields)

    async def update_state(self, request: bytes, context: RpcContext) -> bytes:
        """UpdateAlertStateRequest, which is always refused.

        Raises:
            Unimplemented: its access keys belong to notifications.
        """
        scope_of(context.caller, "Alert", "write")
        raise Unimplemented(
            "update_state takes the access key of a notification, and this service sends none; use Alert.update."
        )

    async def delete(self, request: bytes, context: RpcContext) -> bytes:
        """AlertRequest -> Empty."""
        scope = scope_of(context.caller, "Alert", "write")
        await self._manager.delete(scope, decode(alert_pb2.AlertRequest, request).alert_id)
        return _EMPTY

    async def get(self, request: bytes, context: RpcContext) -> bytes:
        """AlertRequest -> AlertInfo."""
        scope = scope_of(context.caller, "Alert", "read")
        fields = await self._manager.get(scope, decode(alert_pb2.AlertRequest, request).alert_id)
        return encode_alert_info(fields)

    async def list(self, request: bytes, context: RpcContext) -> bytes:
        """AlertQuery -> AlertsInfo. Trailer page-limit: the number of rows, if the server's limit ended the page."""
        reply, limit = await self._lists((context.caller, request))
        if limit:
            context.add_trailer("page-limit", str(limit))
        return reply

    async def stat(self, request: bytes, context: RpcContext) -> bytes:
        """AlertStatQuery -> Struct."""
        return await self._stats((context.caller, request))

    async def _list(self, query: _Query) -> tuple[bytes, int]:
        caller, request = query
        scope = scope_of(caller, "Alert", "read")
        fields = alert_query(await decode_query(alert_pb2.AlertQuery, request, self._run_in_thread))
        scope_of(caller, "Alert", "read", fields.get("project_id", ""))
        page = await self._manager.list(scope, fields.pop("query", {}), fields)
        return encode_alerts_info(page.rows, page.total_count), len(page.rows) if page.cut else 0

    async def _stat(self, question: _Query) -> bytes:
        caller, request = question
        scope = scope_of(caller, "Alert", "read")
        query = (await decode_query(alert_pb2.AlertStatQuery, request, self._run_in_thread)).get("query")
        if query is None:
            raise RequiredParameter("query")
        path = "query.aggregate" if query.get("aggregate") else "query.distinct"
        encode = partial(encode_stored_struct, level=REPLY_LEVEL, whole_at=path)
        return await self._manager.encoded_stat(scope, query, encode)


def alert_query(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an AlertQuery with enums by their names."""
    if state := fields.get("state"):
        fields["state"] = _name(alert_pb2.AlertState, state, "state")
    if urgency := fields.get("urgency"):
        fields["urgency"] = _urgency(urgency)
    return fields


def _urgency(number: int) -> str:
    """Return the name of an urgency, "" if it is unset."""
    return _name(alert_pb2.AlertUrgency, number, "urgency") if number else ""


def _name(enum: Any, number: int, field: str) -> str:
    try:
        return str(enum.Name(number))
    except ValueError:  # enums of proto3 are open: any number may arrive
        raise InvalidArgument.at(field, f"{number} is not one of {', '.join(enum.keys()[1:])}") from None
