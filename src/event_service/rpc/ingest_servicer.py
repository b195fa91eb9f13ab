"""event_service.v1.Ingest: decodes requests, calls the manager, encodes replies."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeAlias, TypeVar

from google.protobuf.message import DecodeError
from google.rpc import code_pb2

from event_service._gen.event_service.v1 import ingest_pb2
from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import EventServiceError, InvalidArgument, RequiredParameter
from event_service.events.delivery import Delivery
from event_service.events.idempotency_key import checked_idempotency_key
from event_service.events.manager import EventManager
from event_service.events.write_request import CreateResult
from event_service.rpc.context import RpcContext
from event_service.rpc.event_servicer import MAX_EVENT_IDS
from event_service.rpc.methods import check_payload, decode_without
from event_service.rpc.status import MAX_TEXT_BYTES, cut
from event_service.wire.json_text import LARGE_BODY
from event_service.wire.struct_decode import struct_to_dict, struct_wire
from event_service.wire.timestamps import Clock, utc_now

DESCRIPTOR = ingest_pb2.DESCRIPTOR.services_by_name["Ingest"]

OPEN_METHODS = frozenset({"CreateBatch", "CreateStream"})
"""These need no token: the pair webhook_id and access_key is the credential."""

MAX_BATCH = 1000
"""Limit of payloads in one message."""

MAX_STREAM = 10_000
"""Limit of payloads in one stream: one reply has the outcomes of all."""

# These keep the reply to a full batch below the 4 MiB that clients accept by default.
_MAX_REMARKS = 4
_LONGEST_REMARK = 300

_MOST_FIELDS = MAX_BATCH + 100  # of a large request, counting each payload

Request = TypeVar("Request", ingest_pb2.CreateBatchRequest, ingest_pb2.CreateStreamRequest)
Payloads: TypeAlias = Sequence[ingest_pb2.Payload | memoryview]
"""Parsed, or serialised if the request is large or malformed."""

Reply: TypeAlias = ingest_pb2.CreateBatchResponse | ingest_pb2.CreateStreamResponse


class IngestServicer:
    """The methods: serialised request -> serialised reply; fail by raising EventServiceErrors.

    Args:
        clock: the time of receipt.
        run_in_thread: decodes chunks with a payload of more than LARGE_BODY bytes; None = in the event loop.
    """

    def __init__(
        self, manager: EventManager, run_in_thread: RunInThread | None = None, *, clock: Clock = utc_now
    ) -> None:
        self._manager = manager
        self._clock = clock
        self._run_in_thread = run_in_thread

    async def create_batch(self, request: bytes, context: RpcContext) -> bytes:
        """CreateBatchRequest -> CreateBatchResponse, once all payloads with code OK are journalled.

        Raises:
            EventServiceError: the first error, if all payloads failed with retryable ones.
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

    async def create_stream(self, request: bytes, context: RpcContext) -> bytes:
        """Stream of CreateStreamRequests -> CreateStreamResponse; messages arriving during a write form the next chunk.

        Raises:
            EventServiceError: the first error, if all payloads of a chunk failed with retryable ones.
        """
        credentials: tuple[str, str] | None = None
        reply = ingest_pb2.CreateStreamResponse()
        while chunk := await context.request_stream.receive():
            payloads: list[ingest_pb2.Payload | memoryview] = []
            for wire in chunk:
                message, added = _read(ingest_pb2.CreateStreamRequest, wire)
                credentials = _credentials_of(message, credentials)
                payloads += added
            if credentials is None:
                raise AssertionError("a chunk is never empty")
            if len(reply.outcomes) + len(payloads) > MAX_STREAM:
                raise InvalidArgument.at("payloads", f"more than {MAX_STREAM} in one stream; open another one")
            outcomes = await self._store(*credentials, payloads, len(reply.outcomes))
            _add(reply, outcomes)
        if credentials is None:
            raise RequiredParameter("webhook_id")
        return reply.SerializeToString()

    async def _store(
        self, webhook_id: str, access_key: str, payloads: Payloads, position: int
    ) -> list[CreateResult | EventServiceError]:
        # Large payloads are parsed after authentication only.
        webhook = await self._manager.admit(webhook_id, access_key)
        deliveries: Iterable[Delivery | EventServiceError] = _deliveries(payloads, position, self._clock())
        if self._run_in_thread is not None and any(
            isinstance(payload, memoryview) and len(payload) > LARGE_BODY for payload in payloads
        ):
            deliveries = await self._run_in_thread(list, deliveries)
        outcomes = await self._manager.create_batch(webhook, deliveries)
        _raise_if_all_retryable(outcomes)
        return outcomes


def _read(kind: type[Request], request: bytes) -> tuple[Request, Payloads]:
    """Return a request and its payloads.

    Payloads of a large request are not parsed, since its sender is not authenticated yet; neither are those of a
    malformed request, since one malformed payload must not affect the others.

    Raises:
        InvalidArgument: the request itself is malformed, or has too many payloads.
    """
    message, payloads = _parse_small(kind, request) or decode_without(kind, request, "payloads", _MOST_FIELDS)
    if len(payloads) > MAX_BATCH:
        raise InvalidArgument.at("payloads", f"has {len(payloads)} payloads; send at most {MAX_BATCH} in one message")
    return message, payloads


def _parse_small(kind: type[Request], request: bytes) -> tuple[Request, Payloads] | None:
    if len(request) > LARGE_BODY:
        return None
    try:
        message = kind.FromString(request)
    except DecodeError:
        return None
    return message, message.payloads


def _credentials_of(message: ingest_pb2.CreateStreamRequest, known: tuple[str, str] | None) -> tuple[str, str]:
    """Return the stream's webhook_id and access_key: mandatory in the first message, constant afterwards."""
    if known is None:
        if not message.webhook_id:
            raise RequiredParameter("webhook_id")
        if not message.access_key:
            raise RequiredParameter("access_key")
        return message.webhook_id, message.access_key
    for name, given, first in (
        ("webhook_id", message.webhook_id, known[0]),
        ("access_key", message.access_key, known[1]),
    ):
        if given and given != first:
            raise InvalidArgument.at(name, "differs from the stream's first message; open another stream")
    return known


def _deliveries(payloads: Payloads, position: int, received_at: datetime) -> Iterator[Delivery | EventServiceError]:
    """Yield each payload as a Delivery, or its error.

    Args:
        position: index of the first one, for field paths.
    """
    for index, payload in enumerate(payloads, position):
        try:
            delivery = _delivery(payload, f"payloads[{index}]", received_at)
        except EventServiceError as error:
            yield error
        else:
            yield delivery


def _delivery(payload: ingest_pb2.Payload | memoryview, name: str, received_at: datetime) -> Delivery:
    path = f"{name}.data"
    if isinstance(payload, memoryview):
        check_payload(payload, ingest_pb2.Payload, path)
        try:
            payload = ingest_pb2.Payload.FromString(payload)  # type: ignore[arg-type]  # any buffer is accepted
        except DecodeError:
            raise InvalidArgument.at(path, "cannot be parsed: it is malformed or nested too deeply") from None
    if not payload.data.fields:  # {} contains nothing to store
        raise RequiredParameter(path)
    return Delivery(
        payload=struct_to_dict(payload.data, path=path),
        payload_wire=struct_wire(payload.data),
        received_at=received_at,
        idempotency_key=checked_idempotency_key(payload.idempotency_key, f"{name}.idempotency_key"),
        path=path,
    )


def _raise_if_all_retryable(outcomes: Sequence[CreateResult | EventServiceError]) -> None:
    """Fail the whole call if all payloads failed with retryable errors: clients retry calls by themselves."""
    first = outcomes[0] if outcomes else None
    if isinstance(first, EventServiceError) and all(
        isinstance(one, EventServiceError) and one.retry_after is not None for one in outcomes
    ):
        raise first


def _add(reply: Reply, outcomes: Iterable[CreateResult | EventServiceError]) -> None:
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
