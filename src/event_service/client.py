"""A client that sends events in batches, and retries those that were not stored.

    with EventClient("127.0.0.1:50051", webhook_id, access_key) as client:
        client.send({"event_key": "disk:web-1", "title": "Disk full", "severity": "CRITICAL"})

Events sent while a call is in flight go with the next one, so a single event leaves immediately and many leave in full
batches. Each event gets an idempotency key in `send` and keeps it, so that it is stored once, however often it is
retried and whichever side crashes. See Ingest in docs/api.md.

    callers   send > queue
    sender    queue > batch > CreateBatch, one at a time > futures; retryable events return to the front of the queue
"""

import logging
import math
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import grpc
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status

from event_service._gen.event_service.v1 import ingest_pb2
from event_service.wire.struct_encode import encode_struct
from event_service.wire.varint import Prefixes

MAX_BATCH = 1000
"""Payloads the service accepts in one call."""

_METHOD = "/event_service.v1.Ingest/CreateBatch"
# Retryable from any source; and retryable without an ERROR_X name, so from a connection or a proxy.
_RETRYABLE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})
_RETRYABLE_FROM_TRANSPORT = frozenset({"CANCELLED", "UNKNOWN", "INTERNAL", "ABORTED"})
_FIRST_BACKOFF, _MAX_BACKOFF = 0.1, 5.0  # seconds
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Retries are done here, where every event has its idempotency key.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
_payload_prefix = Prefixes(ingest_pb2.CreateBatchRequest.PAYLOADS_FIELD_NUMBER << 3 | 2)
_data_prefix = Prefixes(ingest_pb2.Payload.DATA_FIELD_NUMBER << 3 | 2)
_key_prefix = Prefixes(ingest_pb2.Payload.IDEMPOTENCY_KEY_FIELD_NUMBER << 3 | 2)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """The result of a payload that is stored and journalled.

    Attributes:
        event_ids: ids of its events, at most 20.
        event_count: number of its events; 0 if there was nothing to store, such as a recovery without an alert.
        duplicate: True if an earlier attempt had stored it.
        faults: errors of the parts that could not be parsed, each stored as an ERROR event.
        ignored: reasons of the parts that were ignored on purpose.
    """

    event_ids: tuple[str, ...]
    event_count: int
    duplicate: bool = False
    faults: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class NotStored(Exception):
    """A payload was refused, or its retries timed out.

    Attributes:
        code: name of the gRPC status code.
        message: `ERROR_X: sentence` of the service, or the text of the transport.
        uncertain: True if the result of the last attempt is unknown. It may have been stored; send it again under the
            same idempotency_key.
    """

    def __init__(self, code: str, message: str, *, uncertain: bool = False, idempotency_key: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.uncertain = uncertain
        self.idempotency_key = idempotency_key


class QueueFull(Exception):
    """The queue stayed full for the timeout of `send`."""


class ClientClosed(Exception):
    """`send` was called after `close`."""


class EventClient:
    """Client of one webhook. Thread-safe; `close` it, or use it in a `with` block.

    Args:
        server: HOST:PORT of gRPC.
        webhook_id, access_key: of the webhook.
        token: JWT for a proxy in front; the service needs none.
        credentials: `grpc.ssl_channel_credentials(...)` for TLS; None for plain text.
        batch_items, batch_bytes: limits of one call. A larger payload goes alone.
        queue_items, queue_bytes: limits of the queue; `send` waits while it is full.
        retry_timeout: seconds after which an event is no longer retried; `math.inf` for no limit.
        call_seconds: deadline of one call.
    """

    def __init__(
        self,
        server: str,
        webhook_id: str,
        access_key: str,
        *,
        token: str = "",
        credentials: grpc.ChannelCredentials | None = None,
        batch_items: int = 200,
        batch_bytes: int = 2 * 1024 * 1024,
        queue_items: int = 10_000,
        queue_bytes: int = 64 * 1024 * 1024,
        retry_timeout: float = 300.0,
        call_seconds: float = 10.0,
    ) -> None:
        if not 1 <= batch_items <= MAX_BATCH:
            raise ValueError(f"batch_items must be from 1 to {MAX_BATCH}, not {batch_items}")
        if not webhook_id or not access_key:
            raise ValueError("webhook_id and access_key must be given")
        self._sender = ingest_pb2.CreateBatchRequest(webhook_id=webhook_id, access_key=access_key).SerializeToString()
        self._metadata = (("token", token),) if token else ()
        self._batch_items = batch_items
        self._batch_bytes = batch_bytes
        self._queue_items = queue_items
        self._queue_bytes = queue_bytes
        self._retry_timeout = retry_timeout
        self._call_seconds = call_seconds
        options = list(_CHANNEL_OPTIONS)
        self._channel = (
            grpc.insecure_channel(server, options)
            if credentials is None
            else grpc.secure_channel(server, credentials, options)
        )
        self._create_batch: Any = self._channel.unary_unary(
            _METHOD, request_serializer=bytes, response_deserializer=ingest_pb2.CreateBatchResponse.FromString
        )
        self._queue: deque[_Event] = deque()
        self._open: set[Future[Stored]] = set()
        self._open_bytes = 0
        self._call: Any = None  # the call in flight
        self._closing = False  # accept no more events
        self._aborting = False  # and send no more
        self._changed = threading.Condition()  # guards the attributes above
        self._thread = threading.Thread(target=self._run, name="event-client", daemon=True)
        self._thread.start()

    def send(
        self, payload: Mapping[str, Any], *, idempotency_key: str = "", timeout: float | None = None
    ) -> "Future[Stored]":
        """Queue an event. It is sent when the call in flight has ended.

        Args:
            payload: `data` of Event.create: a JSON object that is not empty.
            idempotency_key: a name of this event that outlives this process, never used for another event. Default: a
                random one.
            timeout: seconds to wait while the queue is full; None: no limit; 0: do not wait.

        Returns:
            a future of `Stored`. `NotStored` is logged too, in case the future is not read. Its callbacks run in the
            sender's thread and must not block.

        Raises:
            QueueFull: the queue was full for `timeout` seconds.
            ClientClosed: after `close`.
            InvalidArgument: (event_service.errors) the payload is not JSON, or nested too deeply.
            ValueError: the payload is empty.
        """
        if not payload:
            raise ValueError("payload must not be empty")
        event = _Event(idempotency_key or uuid.uuid4().hex, payload)
        give_up_at = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._closing and not self._has_room(event):
                left = None if give_up_at is None else give_up_at - time.monotonic()
                if left is not None and left <= 0:
                    raise QueueFull(f"the queue is full: {len(self._open)} events wait to be stored")
                self._changed.wait(left)
            if self._closing:
                raise ClientClosed("the client is closed")
            event.give_up_at = time.monotonic() + self._retry_timeout
            self._queue.append(event)
            self._open.add(event.future)
            self._open_bytes += len(event.wire)
            self._changed.notify_all()
        return event.future

    @property
    def pending(self) -> int:
        """Return the number of events that are neither stored nor refused."""
        return len(self._open)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all events sent so far are stored or refused; return False if `timeout` seconds pass first."""
        with self._changed:
            sent = list(self._open)
        return not wait(sent, timeout).not_done

    def close(self, timeout: float | None = 30.0) -> None:
        """Accept no more events, send the queue for up to `timeout` seconds, and stop. Idempotent.

        Events that are still unsettled raise `NotStored`; `uncertain` if they had been sent.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            self._aborting = True
            if self._call is not None:
                self._call.cancel()
            self._changed.notify_all()
        self._thread.join()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _has_room(self, event: "_Event") -> bool:
        if not self._open:
            return True
        return len(self._open) < self._queue_items and self._open_bytes + len(event.wire) <= self._queue_bytes

    # --- in the sender's thread --------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while batch := self._next_batch():
            retry, pause = self._attempt(batch)
            failures = failures + 1 if len(retry) == len(batch) else bool(retry)
            if retry:
                self._requeue(retry, max(pause, _backoff(failures)))
        for attempted in (True, False):
            left = [event for event in self._queue if event.attempted is attempted]
            self._refuse(left, "CANCELLED", "the client was closed", uncertain=attempted)

    def _next_batch(self) -> "list[_Event]":
        """Return the next batch; wait for its first event. Empty if the client is closed and the queue is done."""
        batch: list[_Event] = []
        size = 0
        with self._changed:
            while not batch:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue or self._aborting:
                    return []
                while self._queue and len(batch) < self._batch_items:
                    event = self._queue[0]
                    if batch and size + len(event.wire) > self._batch_bytes:
                        break
                    self._queue.popleft()
                    if event.attempted or event.future.set_running_or_notify_cancel():
                        event.attempted = True
                        batch.append(event)
                        size += len(event.wire)
                    else:
                        self._forget(event)
        return batch

    def _requeue(self, events: "Sequence[_Event]", pause: float) -> None:
        """Put events back at the front of the queue, and wait `pause` seconds."""
        # Jitter, since many clients may have lost the same server.
        end = time.monotonic() + pause * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        with self._changed:
            self._queue.extendleft(reversed(events))
            while not self._aborting and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)

    def _attempt(self, batch: "list[_Event]") -> "tuple[list[_Event], float]":
        """Send a batch once; return the events to retry and the minimum wait in seconds."""
        try:
            reply = self._send(self._sender + b"".join([event.wire for event in batch]))
        except grpc.RpcError as error:
            return self._failed(batch, error)
        if len(reply.outcomes) != len(batch):
            self._refuse(batch, "INTERNAL", "the service did not return one outcome per event", uncertain=True)
            return [], 0.0
        retry: list[_Event] = []
        pause = 0.0
        for event, outcome in zip(batch, reply.outcomes, strict=True):
            if outcome.code == code_pb2.OK:
                self._succeed(event, outcome)
            elif outcome.HasField("retry_delay"):
                pause = max(pause, outcome.retry_delay.ToMilliseconds() / 1000)
                retry += self._retryable([event], code_pb2.Code.Name(outcome.code), outcome.message)
            else:
                self._refuse([event], code_pb2.Code.Name(outcome.code), outcome.message)
        return retry, pause

    def _send(self, request: bytes) -> ingest_pb2.CreateBatchResponse:
        with self._changed:
            if self._aborting:
                raise _Closed
            self._call = self._create_batch.future(request, timeout=self._call_seconds, metadata=self._metadata)
        try:
            reply: ingest_pb2.CreateBatchResponse = self._call.result()
        except grpc.FutureCancelledError:
            raise _Closed from None
        finally:
            self._call = None
        return reply

    def _failed(self, batch: "list[_Event]", error: grpc.RpcError) -> "tuple[list[_Event], float]":
        """Retry, split or refuse the batch of a failed call; return what `_attempt` returns."""
        code, message = error.code().name, error.details() or ""
        retry_after = _retry_after(error)
        from_service = message.startswith("ERROR_")
        if retry_after is not None or code in _RETRYABLE or (code in _RETRYABLE_FROM_TRANSPORT and not from_service):
            return self._retryable(batch, code, message), retry_after or 0.0
        if code == "RESOURCE_EXHAUSTED" and len(batch) > 1:  # larger than the service or a proxy accepts
            half = len(batch) // 2
            first, pause = self._attempt(batch[:half])
            second, other_pause = self._attempt(batch[half:])
            return first + second, max(pause, other_pause)
        self._refuse(batch, code, message)
        return [], 0.0

    def _retryable(self, events: "Sequence[_Event]", code: str, message: str) -> "list[_Event]":
        """Return the events to retry; refuse those past their retry timeout."""
        now = math.inf if self._aborting else time.monotonic()
        self._refuse([event for event in events if event.give_up_at <= now], code, message, uncertain=True)
        return [event for event in events if event.give_up_at > now]

    def _succeed(self, event: "_Event", outcome: ingest_pb2.Outcome) -> None:
        self._forget(event)
        event.future.set_result(
            Stored(
                event_ids=tuple(outcome.event_ids),
                event_count=outcome.event_count,
                duplicate=outcome.duplicate,
                faults=tuple(outcome.faults),
                ignored=tuple(outcome.ignored),
            )
        )

    def _refuse(self, events: "Sequence[_Event]", code: str, message: str, *, uncertain: bool = False) -> None:
        refused = []
        for event in events:
            self._forget(event)
            if event.attempted or event.future.set_running_or_notify_cancel():
                refused.append(event)
        if refused:
            _log.warning(
                "%d events were not stored",
                len(refused),
                extra={"code": code, "reason": message, "uncertain": uncertain, "first": refused[0].key},
            )
        for event in refused:
            event.future.set_exception(NotStored(code, message, uncertain=uncertain, idempotency_key=event.key))

    def _forget(self, event: "_Event") -> None:
        with self._changed:
            self._open.discard(event.future)
            self._open_bytes -= len(event.wire)
            self._changed.notify_all()


class _Event:
    """A queued event in its encoded form.

    Attributes:
        wire: its encoded `payloads` field of the request.
        attempted: True once it has been sent.
    """

    __slots__ = ("attempted", "future", "give_up_at", "key", "wire")

    def __init__(self, key: str, payload: Mapping[str, Any]) -> None:
        data, name = encode_struct(payload, path="payload"), key.encode()
        content = b"".join((_data_prefix[len(data)], data, _key_prefix[len(name)], name))
        self.key = key
        self.wire = _payload_prefix[len(content)] + content
        self.future: Future[Stored] = Future()
        self.give_up_at = 0.0
        self.attempted = False


class _Closed(grpc.RpcError):
    """`close` cancelled the call."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.CANCELLED

    def details(self) -> str:
        return "the client was closed"


def _backoff(failures: int) -> float:
    """Return the seconds to wait after this many consecutive failures."""
    return min(_MAX_BACKOFF, _FIRST_BACKOFF * 2.0 ** min(failures - 1, 16))


def _retry_after(error: grpc.RpcError) -> float | None:
    """Return the retry_delay of the error's RetryInfo in seconds, or None."""
    if isinstance(error, _Closed):
        return None
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))
    except ValueError:  # a proxy's grpc-status-details-bin that contradicts its grpc-status
        return None
    retry = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds()) / 1000
    return None
