"""A client that sends events in batches, and sends again what did not get through.

    with EventClient("127.0.0.1:50051", webhook_id, access_key) as client:
        client.send({"event_key": "disk:web-1", "title": "Disk full", "severity": "CRITICAL"})

What is sent while a call is under way goes with the next one, so a lone event leaves at once and a flood leaves in full
batches. Every event gets an idempotency key when it is handed over and keeps it: however often it is sent again, after
whatever crash on either side, it is stored once. See Ingest in docs/api.md.

    callers   send > queue
    sender    queue > batch > CreateBatch, one at a time > futures; what is worth sending again goes back to the front
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
"""Payloads the service takes in one call."""

_METHOD = "/event_service.v1.Ingest/CreateBatch"
# Worth another attempt, whoever says so; and what only a connection or a proxy says, without the service's ERROR_X.
_RETRYABLE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})
_RETRYABLE_FROM_TRANSPORT = frozenset({"CANCELLED", "UNKNOWN", "INTERNAL", "ABORTED"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # The repeating is done here, where every event has its key.
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
    """What became of a payload that is stored and journalled.

    Attributes:
        event_ids: of its events, at most 20 of them.
        event_count: how many events it made; 0 where there was nothing to store, such as a recovery of nothing.
        duplicate: an earlier attempt had stored it.
        faults: what could not be understood, and was stored as an ERROR event instead.
        ignored: what was left out on purpose, each with the reason.
    """

    event_ids: tuple[str, ...]
    event_count: int
    duplicate: bool = False
    faults: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class NotStored(Exception):
    """A payload was refused, or given up.

    Attributes:
        code: the gRPC status code's name.
        message: what the service said, `ERROR_X: sentence`, or the transport.
        uncertain: it was given up while nothing was known of its last attempt: it may be stored all the same, and may
            be sent again under the same idempotency_key.
    """

    def __init__(self, code: str, message: str, *, uncertain: bool = False, idempotency_key: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.uncertain = uncertain
        self.idempotency_key = idempotency_key


class QueueFull(Exception):
    """There was no room for one more event for as long as the caller would wait."""


class ClientClosed(Exception):
    """The client takes no more events."""


class EventClient:
    """Sends events to one webhook. May be used from any number of threads; `close` it, or use it in a `with` block.

    Args:
        server: HOST:PORT of the service's gRPC port.
        webhook_id, access_key: of the webhook.
        token: JWT; only for a proxy that asks for one, the service does not.
        credentials: `grpc.ssl_channel_credentials(...)` for TLS; None for none.
        batch_items, batch_bytes: what one call takes at most. A larger payload goes alone.
        queue_items, queue_bytes: what may wait to be stored; then `send` waits.
        retry_timeout: seconds for which an event is sent again before it is given up; `math.inf` for never.
        call_seconds: how long one call may take.
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
        self._call: Any = None  # the one under way
        self._closing = False  # nothing more is taken
        self._giving_up = False  # and nothing more is sent
        self._changed = threading.Condition()  # around all of these
        self._thread = threading.Thread(target=self._run, name="event-client", daemon=True)
        self._thread.start()

    def send(
        self, payload: Mapping[str, Any], *, idempotency_key: str = "", timeout: float | None = None
    ) -> "Future[Stored]":
        """Hands an event over. It leaves as soon as the call under way has ended.

        Args:
            payload: what Event.create takes as `data`: a JSON object that is not empty.
            idempotency_key: where the caller has a name for this event that outlives this process; it must not be
                used for another one. A random one otherwise.
            timeout: seconds to wait for room in the queue; None waits for as long as it takes, 0 not at all.

        Returns:
            a future: its result is a `Stored`; or it raises `NotStored`, which is logged too, so that nothing is lost
            in silence where nobody asks. Its callbacks run in the sender's thread and must not block.

        Raises:
            QueueFull: there was no room in time.
            ClientClosed: after `close`.
            InvalidArgument: (of event_service.errors) the payload is no JSON, or nested too deeply.
            ValueError: the payload is empty.
        """
        if not payload:
            raise ValueError("an empty payload says nothing")
        event = _Event(idempotency_key or uuid.uuid4().hex, payload)
        give_up_at = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._closing and not self._has_room(event):
                left = None if give_up_at is None else give_up_at - time.monotonic()
                if left is not None and left <= 0:
                    raise QueueFull(f"{len(self._open)} events wait to be stored")
                self._changed.wait(left)
            if self._closing:
                raise ClientClosed("the client was closed")
            event.give_up_at = time.monotonic() + self._retry_timeout
            self._queue.append(event)
            self._open.add(event.future)
            self._open_bytes += len(event.wire)
            self._changed.notify_all()
        return event.future

    @property
    def pending(self) -> int:
        """Events handed over and not decided yet."""
        return len(self._open)

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until everything sent so far is stored or refused. Whether that is so, within `timeout` seconds."""
        with self._changed:
            sent = list(self._open)
        return not wait(sent, timeout).not_done

    def close(self, timeout: float | None = 30.0) -> None:
        """Takes nothing more, gets rid of what is queued for up to `timeout` seconds, and ends. May be called twice.

        What is not decided by then ends as `NotStored`, `uncertain`.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            self._giving_up = True
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
            again, pause = self._attempt(batch)
            failures = failures + 1 if len(again) == len(batch) else bool(again)
            if again:
                self._requeue(again, max(pause, _backoff(failures)))
        for attempted in (True, False):
            left = [event for event in self._queue if event.attempted is attempted]
            self._refuse(left, "CANCELLED", "the client was closed", uncertain=attempted)

    def _next_batch(self) -> "list[_Event]":
        """The next batch; waits for its first event. Empty once the client is closed and nothing is to be sent."""
        batch: list[_Event] = []
        size = 0
        with self._changed:
            while not batch:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue or self._giving_up:
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
        """To the front of the queue, and waits a while. Not as long as others: many may have lost the same server."""
        end = time.monotonic() + pause * random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        with self._changed:
            self._queue.extendleft(reversed(events))
            while not self._giving_up and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)

    def _attempt(self, batch: "list[_Event]") -> "tuple[list[_Event], float]":
        """Sends a batch once. What is to be sent again, and how long to wait at least (seconds)."""
        try:
            reply = self._send(self._sender + b"".join([event.wire for event in batch]))
        except grpc.RpcError as error:
            return self._failed(batch, error)
        if len(reply.outcomes) != len(batch):
            self._refuse(batch, "INTERNAL", "the service did not answer for each event", uncertain=True)
            return [], 0.0
        again: list[_Event] = []
        pause = 0.0
        for event, outcome in zip(batch, reply.outcomes, strict=True):
            if outcome.code == code_pb2.OK:
                self._succeed(event, outcome)
            elif outcome.HasField("retry_delay"):
                pause = max(pause, outcome.retry_delay.ToMilliseconds() / 1000)
                again += self._retryable([event], code_pb2.Code.Name(outcome.code), outcome.message)
            else:
                self._refuse([event], code_pb2.Code.Name(outcome.code), outcome.message)
        return again, pause

    def _send(self, request: bytes) -> ingest_pb2.CreateBatchResponse:
        with self._changed:
            if self._giving_up:
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
        """What to do about a call that failed: nothing is known of any of its events."""
        code, message = error.code().name, error.details() or ""
        retry_after = _retry_after(error)
        of_the_service = message.startswith("ERROR_")
        if retry_after is not None or code in _RETRYABLE or (code in _RETRYABLE_FROM_TRANSPORT and not of_the_service):
            return self._retryable(batch, code, message), retry_after or 0.0
        if code == "RESOURCE_EXHAUSTED" and len(batch) > 1:  # more bytes than the service, or a proxy, takes at once
            half = len(batch) // 2
            first, pause = self._attempt(batch[:half])
            second, other_pause = self._attempt(batch[half:])
            return first + second, max(pause, other_pause)
        self._refuse(batch, code, message)
        return [], 0.0

    def _retryable(self, events: "Sequence[_Event]", code: str, message: str) -> "list[_Event]":
        """Those that are to be sent again; the time of the others is over."""
        now = math.inf if self._giving_up else time.monotonic()
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
        wanted = []
        for event in events:
            self._forget(event)
            if event.attempted or event.future.set_running_or_notify_cancel():
                wanted.append(event)
        if wanted:
            _log.warning(
                "%d events were not stored",
                len(wanted),
                extra={"code": code, "reason": message, "uncertain": uncertain, "first": wanted[0].key},
            )
        for event in wanted:
            event.future.set_exception(NotStored(code, message, uncertain=uncertain, idempotency_key=event.key))

    def _forget(self, event: "_Event") -> None:
        with self._changed:
            self._open.discard(event.future)
            self._open_bytes -= len(event.wire)
            self._changed.notify_all()


class _Event:
    """One event on its way, as it is sent each time.

    Attributes:
        wire: the `payloads` field of the request that holds it.
        attempted: it has been sent at least once.
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
    """The call was ended by `close`."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.CANCELLED

    def details(self) -> str:
        return "the client was closed"


def _backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 16))


def _retry_after(error: grpc.RpcError) -> float | None:
    """Seconds after which the service wants it again; None where it said nothing."""
    if isinstance(error, _Closed):
        return None
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))
    except ValueError:  # another program's trailer, which does not agree with the status it stands beside
        return None
    retry = error_details_pb2.RetryInfo()
    for detail in status.details if status else ():
        if detail.Unpack(retry):
            return float(retry.retry_delay.ToMilliseconds()) / 1000
    return None
