"""event_service.v1.Ingest: decode, ask the manager, encode. The rules are the manager's."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar

from google.protobuf.message import DecodeError
from google.rpc import code_pb2

from event_service._gen.event_service.v1 import ingest_pb2
from event_service.errors import EventServiceError, InvalidArgument, RequiredParameter
from event_service.events.delivery import Delivery, checked_idempotency_key
from event_service.events.write_request import CreateOutcome
from event_service.rpc.context import RpcContext
from event_service.rpc.event_servicer import MAX_EVENT_IDS, LargePayloads
from event_service.rpc.methods import decode
from event_service.rpc.status import MAX_TEXT_BYTES, cut
from event_service.wire.json_text import LARGE_BODY
from event_service.wire.salvage import salvage_repeated
from event_service.wire.struct_decode import struct_to_dict, struct_wire
from event_service.wire.timestamps import utc_now

DESCRIPTOR = ingest_pb2.DESCRIPTOR.services_by_name["Ingest"]

OPEN_METHODS = frozenset({"CreateBatch", "CreateStream"})
"""They need no token: the pair webhook_id and access_key is the credential."""

MAX_BATCH = 1000
"""Payloads of one message."""

MAX_STREAM = 10_000
"""Payloads of one stream: the outcomes of all of them are one reply."""

# So that a full batch's reply stays below the 4 MiB that clients take, whatever is in it.
_MAX_REMARKS = 4
_LONGEST_REMARK = 300


Request = TypeVar("Request", ingest_pb2.CreateBatchRequest, ingest_pb2.CreateStreamRequest)
Payloads: TypeAlias = Sequence[ingest_pb2.Payload | None]
Reply: TypeAlias = ingest_pb2.CreateBatchResponse | ingest_pb2.CreateStreamResponse


class Events(Protocol):
    """What this servicer needs of `events/manager.py`."""

    async def create_batch(
        self, webhook_id: str, access_key: str, deliveries: Iterable[Delivery | EventServiceError]
    ) -> list[CreateOutcome | EventServiceError]: ...


class IngestServicer:
    """Answers the methods; each takes and gives serialised messages and refuses by EventServiceErrors.

    Args:
        large: for lots with a payload of more than LARGE_BODY bytes; None = as all others.
    """

    def __init__(self, manager: Events, large: LargePayloads | None = None) -> None:
        self._manager = manager
        self._large = large

    async def create_batch(self, request: bytes, call: RpcContext) -> bytes:
        """CreateBatchRequest -> CreateBatchResponse, once everything that is OK is journalled.

        Raises:
            EventServiceError: what every payload failed with, if it is worth sending all of them again.
        """
        message, payloads = _read(ingest_pb2.CreateBatchRequest, request)
        if not message.webhook_id:
            raise RequiredParameter("webhook_id")
        if not message.access_key:
            raise RequiredParameter("access_key")
        if not payloads:
            raise RequiredParameter("payloads")
        outcomes = await self._store(message.webhook_id, message.access_key, payloads, 0)
        reply = ingest_pb2.CreateBatchResponse()
        _add(reply, outcomes)
        return reply.SerializeToString()

    async def create_stream(self, request: bytes, call: RpcContext) -> bytes:
        """CreateStreamRequests -> CreateStreamResponse; what arrives while a write is under way is written next.

        Raises:
            EventServiceError: what all payloads of such a lot failed with, if it is worth sending them again.
        """
        sender: tuple[str, str] | None = None
        reply = ingest_pb2.CreateStreamResponse()
        while lot := await call.messages.take():
            payloads: list[ingest_pb2.Payload | None] = []
            for wire in lot:
                message, more = _read(ingest_pb2.CreateStreamRequest, wire)
                sender = _sender_of(message, sender)
                payloads += more
            if sender is None:
                raise AssertionError("a lot is never empty")
            if len(reply.outcomes) + len(payloads) > MAX_STREAM:
                raise InvalidArgument.at("payloads", f"more than {MAX_STREAM} in one stream; begin another one")
            outcomes = await self._store(*sender, payloads, len(reply.outcomes))
            _add(reply, outcomes)
        if sender is None:
            raise RequiredParameter("webhook_id")
        return reply.SerializeToString()

    async def _store(
        self, webhook_id: str, access_key: str, payloads: Payloads, position: int
    ) -> list[CreateOutcome | EventServiceError]:
        deliveries: Iterable[Delivery | EventServiceError] = _deliveries(payloads, position)
        if self._large is not None and any(payload and payload.ByteSize() > LARGE_BODY for payload in payloads):
            await self._large.authenticate(webhook_id, access_key)
            deliveries = await self._large.run_in_thread(list, deliveries)
        outcomes = await self._manager.create_batch(webhook_id, access_key, deliveries)
        _raise_if_in_vain(outcomes)
        return outcomes


def _read(kind: type[Request], request: bytes) -> tuple[Request, Payloads]:
    """A request and its payloads, with None for each of them that cannot be read: the others are stored all the same.

    Raises:
        InvalidArgument: it cannot be read at all, or holds too many.
    """
    payloads: Payloads
    try:
        message = kind.FromString(request)
        payloads = message.payloads
    except DecodeError:
        try:
            rest, members = salvage_repeated(request, kind.PAYLOADS_FIELD_NUMBER)
        except ValueError:
            rest, members = request, []
        message, payloads = decode(kind, rest), [_payload(wire) for wire in members]
    if len(payloads) > MAX_BATCH:
        raise InvalidArgument.at("payloads", f"{len(payloads)} are too many for one message; at most {MAX_BATCH}")
    return message, payloads


def _payload(wire: bytes) -> ingest_pb2.Payload | None:
    try:
        return ingest_pb2.Payload.FromString(wire)
    except DecodeError:
        return None


def _sender_of(message: ingest_pb2.CreateStreamRequest, before: tuple[str, str] | None) -> tuple[str, str]:
    """Whose message it is: named in the first one, and not another one afterwards."""
    if before is None:
        if not message.webhook_id:
            raise RequiredParameter("webhook_id")
        if not message.access_key:
            raise RequiredParameter("access_key")
        return message.webhook_id, message.access_key
    for name, given, first in (
        ("webhook_id", message.webhook_id, before[0]),
        ("access_key", message.access_key, before[1]),
    ):
        if given and given != first:
            raise InvalidArgument.at(name, "is another one than in the stream's first message")
    return before


def _deliveries(payloads: Payloads, position: int) -> Iterator[Delivery | EventServiceError]:
    """Each payload as it is asked for, or why it is refused.

    Args:
        position: of the first one, for field paths.
    """
    received_at = utc_now()
    for index, payload in enumerate(payloads, position):
        try:
            delivery = _delivery(payload, f"payloads[{index}]", received_at)
        except EventServiceError as error:
            yield error
        else:
            yield delivery


def _delivery(payload: ingest_pb2.Payload | None, name: str, received_at: datetime) -> Delivery:
    path = f"{name}.data"
    if payload is None:
        raise InvalidArgument.at(path, "cannot be read: it is damaged, or nested too deeply")
    if not payload.data.fields:  # {} holds nothing that could be lost
        raise RequiredParameter(path)
    return Delivery(
        payload=struct_to_dict(payload.data, path=path),
        payload_wire=struct_wire(payload.data),
        received_at=received_at,
        idempotency_key=checked_idempotency_key(payload.idempotency_key, f"{name}.idempotency_key"),
        path=path,
    )


def _raise_if_in_vain(outcomes: Sequence[CreateOutcome | EventServiceError]) -> None:
    """Where nothing could be stored, and not because of what was sent, the call itself fails: that is retried."""
    first = outcomes[0] if outcomes else None
    if isinstance(first, EventServiceError) and all(
        isinstance(one, EventServiceError) and one.retry_after is not None for one in outcomes
    ):
        raise first


def _add(reply: Reply, outcomes: Iterable[CreateOutcome | EventServiceError]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, EventServiceError):
            refused = reply.outcomes.add(
                code=code_pb2.Code.Value(outcome.code), message=cut(outcome.details, MAX_TEXT_BYTES)
            )
            if outcome.retry_after is not None:
                refused.retry_delay.FromMilliseconds(round(outcome.retry_after * 1000))
            continue
        ids = outcome.event_ids
        stored = reply.outcomes.add(event_ids=ids[:MAX_EVENT_IDS], event_count=len(ids), duplicate=outcome.duplicate)
        if outcome.faults:
            stored.faults.extend(_remarks(outcome.faults))
        if outcome.ignored:
            stored.ignored.extend(_remarks(outcome.ignored))


def _remarks(texts: Sequence[str]) -> list[str]:
    shown = [cut(text, _LONGEST_REMARK) for text in texts[:_MAX_REMARKS]]
    if len(texts) > _MAX_REMARKS:
        shown[-1] = f"and {len(texts) - _MAX_REMARKS + 1} more"
    return shown
