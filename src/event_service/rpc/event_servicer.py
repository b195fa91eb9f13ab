"""spaceone.api.monitoring.v1.Event: decodes requests, calls the manager, encodes replies."""

from functools import partial
from typing import Any

from google.protobuf import struct_pb2

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.concurrency.single_flight import SingleFlight
from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import RequiredParameter
from event_service.events.delivery import CreateRequest
from event_service.events.idempotency_key import checked_idempotency_key
from event_service.events.manager import EventManager
from event_service.identity.authorization import scope_of
from event_service.identity.principal import Principal
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import check_payload, decode, decode_without
from event_service.rpc.query_decode import decode_query
from event_service.wire.event_info import join_events_info
from event_service.wire.json_text import LARGE_BODY
from event_service.wire.nesting import REPLY_LEVEL
from event_service.wire.struct_decode import struct_to_dict, struct_wire
from event_service.wire.struct_encode import encode_stored_struct
from event_service.wire.timestamps import Clock, utc_now

DESCRIPTOR = event_pb2.DESCRIPTOR.services_by_name["Event"]

OPEN_METHODS = frozenset({"create"})
"""create needs no token: the pair webhook_id and access_key is the credential."""

MAX_EVENT_IDS = 20
"""`event-id` trailers of one create. Source: event-api.md 3.8."""

IDEMPOTENCY_KEY = "idempotency-key"
"""Metadata that identifies a delivery: a retry under the same key stores nothing new."""

_MOST_FIELDS = 100  # of a large request; it has three, unless data comes in parts or fields are unknown
_MAX_REMARKS = 4  # event-error and event-ignored are sentences; trailers have room for a few
_Query = tuple[Principal, bytes]  # the caller and the serialised request
_EMPTY = b""  # a serialised google.protobuf.Empty


class EventServicer:
    """The methods: serialised request -> serialised reply; fail by raising EventServiceErrors.

    Args:
        run_in_thread: decodes requests of more than LARGE_BODY bytes and large queries; None = in the event loop.
        clock: the time of receipt.
    """

    def __init__(
        self, manager: EventManager, run_in_thread: RunInThread | None = None, *, clock: Clock = utc_now
    ) -> None:
        self._manager = manager
        self._clock = clock
        self._run_in_thread = run_in_thread
        self._lists = SingleFlight(self._list)
        self._stats = SingleFlight(self._stat)

    async def create(self, request: bytes, context: RpcContext) -> bytes:
        """CreateEventRequest -> Empty, once the payload is journalled.

        Trailers: event-count, event-id (at most 20), event-duplicate, event-error, event-ignored; `event-id-more` etc.
        give the number of those left out.
        """
        is_large = len(request) > LARGE_BODY
        if is_large:
            message, contents = decode_without(event_pb2.CreateEventRequest, request, "data", _MOST_FIELDS)
            has_data = any(contents)
        else:
            message = decode(event_pb2.CreateEventRequest, request)
            has_data = bool(message.data.fields)
        webhook_id, access_key = message.webhook_id, message.access_key
        if not webhook_id:
            raise RequiredParameter("webhook_id")
        if not access_key:
            raise RequiredParameter("access_key")
        if not has_data:  # {} contains nothing to store
            raise RequiredParameter("data")
        # Large payloads are parsed after authentication only, and in a thread.
        webhook = await self._manager.admit(webhook_id, access_key)
        if not is_large:
            payload, payload_wire = _payload_of(message.data)
        elif self._run_in_thread is None:
            payload, payload_wire = _large_payload_of(request)
        else:
            payload, payload_wire = await self._run_in_thread(_large_payload_of, request)
        outcome = await self._manager.create(
            CreateRequest(
                webhook=webhook,
                payload=payload,
                received_at=self._clock(),
                payload_wire=payload_wire,
                idempotency_key=checked_idempotency_key(context.metadata.get(IDEMPOTENCY_KEY, ""), IDEMPOTENCY_KEY),
            )
        )
        context.add_trailer("event-count", str(len(outcome.event_ids)))
        if outcome.duplicate:
            context.add_trailer("event-duplicate", "true")
        context.add_trailers("event-id", outcome.event_ids, MAX_EVENT_IDS)
        context.add_trailers("event-error", outcome.faults, _MAX_REMARKS)
        context.add_trailers("event-ignored", outcome.ignored, _MAX_REMARKS)
        return _EMPTY

    async def get(self, request: bytes, context: RpcContext) -> bytes:
        """EventRequest -> EventInfo."""
        scope = scope_of(context.caller)
        message = decode(event_pb2.EventRequest, request)
        if not message.event_id:
            raise RequiredParameter("event_id")
        return await self._manager.get(scope, message.event_id)

    async def list(self, request: bytes, context: RpcContext) -> bytes:
        """EventQuery -> EventsInfo. Trailer page-limit: the number of rows, if the server's limit ended the page."""
        reply, limit = await self._lists((context.caller, request))
        if limit:
            context.add_trailer("page-limit", str(limit))
        return reply

    async def stat(self, request: bytes, context: RpcContext) -> bytes:
        """EventStatQuery -> Struct.

        Raises:
            InvalidArgument: a result is nested deeper than protobuf clients parse.
        """
        return await self._stats((context.caller, request))

    async def _list(self, query: _Query) -> tuple[bytes, int]:
        """Return the reply, and the number of rows if the server's limit ended the page, else 0."""
        caller, request = query
        fields = await decode_query(event_pb2.EventQuery, request, self._run_in_thread)
        scope = scope_of(caller, project_id=fields.get("project_id", ""))
        page = await self._manager.list(scope, fields.pop("query", {}), fields)
        return join_events_info(page.rows, page.total_count), len(page.rows) if page.cut else 0

    async def _stat(self, question: _Query) -> bytes:
        scope = scope_of(question[0])
        query = (await decode_query(event_pb2.EventStatQuery, question[1], self._run_in_thread)).get("query")
        if query is None:
            raise RequiredParameter("query")
        path = "query.aggregate" if query.get("aggregate") else "query.distinct"
        encode = partial(encode_stored_struct, level=REPLY_LEVEL, whole_at=path)
        return await self._manager.encoded_stat(scope, query, encode)


def _large_payload_of(request: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the payload of a CreateEventRequest.

    Raises:
        TooLarge: it has too many values.
        InvalidArgument: as `_payload_of`, or the request is malformed.
    """
    check_payload(request, event_pb2.CreateEventRequest, "data")
    data = decode(event_pb2.CreateEventRequest, request).data
    if not data.fields:  # unknown fields only
        raise RequiredParameter("data")
    return _payload_of(data)


def _payload_of(data: struct_pb2.Struct) -> tuple[dict[str, Any], bytes]:
    """Return a payload as JSON and as serialised bytes.

    Raises:
        InvalidArgument: it could not be read back once stored, such as one nested too deeply.
    """
    return struct_to_dict(data), struct_wire(data)
