"""spaceone.api.monitoring.v1.Event: decode, ask the manager, encode. The rules are the manager's."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from google.protobuf import struct_pb2

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.concurrency.single_flight import SingleFlight
from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import RequiredParameter
from event_service.events.delivery import CreateRequest, checked_idempotency_key
from event_service.events.write_request import CreateOutcome
from event_service.identity.access import scope_of
from event_service.identity.principal import Principal
from event_service.model.scope import Scope
from event_service.rpc.context import RpcContext
from event_service.rpc.methods import decode
from event_service.rpc.query_decode import message_to_dict
from event_service.wire.event_info import join_events_info
from event_service.wire.json_text import LARGE_BODY
from event_service.wire.nesting import REPLY_LEVEL
from event_service.wire.struct_decode import struct_to_dict, struct_wire
from event_service.wire.struct_encode import encode_stored_struct
from event_service.wire.timestamps import utc_now

DESCRIPTOR = event_pb2.DESCRIPTOR.services_by_name["Event"]

OPEN_METHODS = frozenset({"create"})
"""create needs no token: the pair webhook_id and access_key is the credential."""

MAX_EVENT_IDS = 20
"""`event-id` trailers of one create. Source: event-api.md 3.8."""

IDEMPOTENCY_KEY = "idempotency-key"
"""Metadata that names a delivery, so that sending it again stores nothing new."""

_MAX_REMARKS = 4  # event-error and event-ignored: sentences, of which all trailers hold some
_Question = tuple[Principal, bytes]  # who asks, and the serialised request
_EMPTY = b""  # a serialised google.protobuf.Empty


class Rows(Protocol):
    """A page of a list: EventInfo bytes, how many match in all, and whether the server's own limit ended the page."""

    @property
    def rows(self) -> Sequence[bytes]: ...
    @property
    def total_count(self) -> int: ...
    @property
    def cut(self) -> bool: ...


class Events(Protocol):
    """What this servicer needs of `events/manager.py`."""

    async def create(self, request: CreateRequest) -> CreateOutcome: ...
    async def get(self, scope: Scope, event_id: str) -> bytes: ...
    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> Rows: ...
    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> Mapping[str, Any]: ...


class LargePayloads(NamedTuple):
    """How payloads are taken that would keep all other calls waiting.

    Attributes:
        authenticate: webhook_id and access_key. A stranger's payload is not worth the pains.
        run_in_thread: runs a function in a thread.
    """

    authenticate: Callable[[str, str], Awaitable[object]]
    run_in_thread: RunInThread


class EventServicer:
    """Answers the four methods; each takes and gives serialised messages and refuses by EventServiceErrors.

    Args:
        large: for payloads of more than LARGE_BODY bytes; None = as all others.
    """

    def __init__(self, manager: Events, large: LargePayloads | None = None) -> None:
        self._manager = manager
        self._large = large
        self._lists = SingleFlight(self._list)
        self._stats = SingleFlight(self._stat)

    async def create(self, request: bytes, call: RpcContext) -> bytes:
        """CreateEventRequest -> Empty, once what was sent is journalled.

        Trailers: event-count, event-id (at most 20), event-duplicate, event-error, event-ignored; where some are left
        out, event-id-more and so on say how many.
        """
        message = decode(event_pb2.CreateEventRequest, request)
        webhook_id, access_key = message.webhook_id, message.access_key
        if not webhook_id:
            raise RequiredParameter("webhook_id")
        if not access_key:
            raise RequiredParameter("access_key")
        if not message.data.fields:  # {} holds nothing that could be lost
            raise RequiredParameter("data")
        if self._large is None or len(request) <= LARGE_BODY:
            payload, payload_wire = _payload_of(message.data)
        else:
            await self._large.authenticate(webhook_id, access_key)
            payload, payload_wire = await self._large.run_in_thread(_payload_of, message.data)
        del message  # several times as large as the payload
        outcome = await self._manager.create(
            CreateRequest(
                webhook_id=webhook_id,
                access_key=access_key,
                payload=payload,
                received_at=utc_now(),
                payload_wire=payload_wire,
                idempotency_key=checked_idempotency_key(call.metadata.get(IDEMPOTENCY_KEY, ""), IDEMPOTENCY_KEY),
            )
        )
        call.add_trailer("event-count", str(len(outcome.event_ids)))
        if outcome.duplicate:
            call.add_trailer("event-duplicate", "true")
        call.add_trailers("event-id", outcome.event_ids, MAX_EVENT_IDS)
        call.add_trailers("event-error", outcome.faults, _MAX_REMARKS)
        call.add_trailers("event-ignored", outcome.ignored, _MAX_REMARKS)
        return _EMPTY

    async def get(self, request: bytes, call: RpcContext) -> bytes:
        """EventRequest -> EventInfo."""
        scope = scope_of(call.caller)
        message = decode(event_pb2.EventRequest, request)
        if not message.event_id:
            raise RequiredParameter("event_id")
        return await self._manager.get(scope, message.event_id)

    async def list(self, request: bytes, call: RpcContext) -> bytes:
        """EventQuery -> EventsInfo. Trailer: page-limit, the number of rows, where our own limit ended the page."""
        reply, limit = await self._lists((call.caller, request))
        if limit:
            call.add_trailer("page-limit", str(limit))
        return reply

    async def stat(self, request: bytes, call: RpcContext) -> bytes:
        """EventStatQuery -> Struct.

        Raises:
            InvalidArgument: a result is nested so deeply that no client could read the reply.
        """
        return await self._stats((call.caller, request))

    async def _list(self, question: _Question) -> tuple[bytes, int]:
        """The reply, and the number of rows where our own limit ended the page, else 0."""
        caller, request = question
        message = decode(event_pb2.EventQuery, request)
        scope = scope_of(caller, project_id=message.project_id)
        fields = message_to_dict(message, "")
        page = await self._manager.list(scope, fields.pop("query", {}), fields)
        return join_events_info(page.rows, page.total_count), len(page.rows) if page.cut else 0

    async def _stat(self, question: _Question) -> bytes:
        caller, request = question
        scope = scope_of(caller)
        message = decode(event_pb2.EventStatQuery, request)
        if not message.HasField("query"):
            raise RequiredParameter("query")
        result = await self._manager.stat(scope, message_to_dict(message.query, "query"))
        asked = "query.aggregate" if message.query.aggregate else "query.distinct"
        return encode_stored_struct(result, level=REPLY_LEVEL, whole_at=asked)


def _payload_of(data: struct_pb2.Struct) -> tuple[dict[str, Any], bytes]:
    """A payload as JSON, and as it came.

    Raises:
        InvalidArgument: it could not be read back if it were stored.
    """
    return struct_to_dict(data), struct_wire(data)
