"""Concurrent senders that send each payload until it is acknowledged, as collectors do."""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import grpc

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from tests.e2e.service import Service

CREATE = "/spaceone.api.monitoring.v1.Event/create"
# What a sender may see of a dying service. Anything else is a fault.
RETRIED = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
BATCH = 5

Payload = Mapping[str, Any]


class Writers:
    """Threads that send payloads under idempotency keys and retry until OK: single events, batches, and sequences of
    an alert that recovers and fires again.

    Attributes:
        acknowledged: how many events of each (event_key, event_type) were answered OK.
        attempts: calls made; more than payloads where some had to be repeated.
        times: when each payload was acknowledged, in seconds of `time.monotonic`.
        unexpected: errors no sender should see.
    """

    def __init__(self, service: Service, webhook: tuple[str, str], count: int = 8) -> None:
        self.service, self.webhook = service, webhook
        self.acknowledged: Counter[tuple[str, str]] = Counter()
        self.attempts = 0
        self.times: list[float] = []
        self.unexpected: list[str] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,), daemon=True) for number in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, seconds: float = 60) -> None:
        """Stop the writers after their present payloads are acknowledged."""
        self._ending.set()
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a writer found no end"

    def _write(self, number: int) -> None:
        channel = self.service.channel()
        for payload in endless_payloads(random.Random(number)):
            if self._ending.is_set():
                break
            idempotency_key = uuid.uuid4().hex
            while not self._acknowledged(channel, payload, idempotency_key):
                # A fresh channel: the old one would wait out its backoff before it looks again. Not more often: eight
                # writers would take the processor that the service needs for its start.
                channel.close()
                time.sleep(0.2)
                channel = self.service.channel()
            with self._lock:
                self.times.append(time.monotonic())
                self.acknowledged.update(
                    (event["event_key"], event["event_type"]) for event in payload.get("results", [payload])
                )
        channel.close()

    def _acknowledged(self, channel: grpc.Channel, payload: Payload, idempotency_key: str) -> bool:
        """Send a payload once; whether it was answered OK."""
        request = event_pb2.CreateEventRequest(webhook_id=self.webhook[0], access_key=self.webhook[1])
        request.data.update(payload)
        rpc = channel.unary_unary(CREATE, request_serializer=event_pb2.CreateEventRequest.SerializeToString)
        with self._lock:
            self.attempts += 1
        try:
            rpc(request, timeout=5, metadata=(("idempotency-key", idempotency_key),))
        except grpc.RpcError as error:
            if error.code() not in RETRIED:
                self.unexpected.append(f"{error.code().name}: {error.details()}")
            return False
        return True


def endless_payloads(chance: random.Random) -> Iterator[Payload]:
    """Return the payloads of one writer, in order."""
    while True:
        name = uuid.uuid4().hex
        match chance.randrange(3):
            case 0:
                yield event(name, "ALERT")
            case 1:
                yield {"results": [event(f"{name}-{number}", "ALERT") for number in range(BATCH)]}
            case 2:
                for event_type in ("ALERT", "RECOVERY", "ALERT"):
                    yield event(name, event_type)


def event(event_key: str, event_type: str) -> Payload:
    return {"event_key": event_key, "event_type": event_type, "title": f"event {event_key}", "severity": "WARNING"}


def stored(service: Service, webhook: tuple[str, str]) -> list[dict[str, Any]]:
    """Id, key, type and alert of every event, in the order they were received."""
    query = {
        "only": ["event_id", "event_key", "event_type", "alert_id"],
        "sort": [{"key": "created_at"}],
        "page": {"limit": 1_000_000},
    }
    reply = service.call("Event", "list", {"webhook_id": webhook[0], "query": query})
    assert len(reply["results"]) == reply["total_count"]
    return list(reply["results"])


def check_alerts(rows: list[dict[str, Any]]) -> None:
    """A recovery belongs to the alert before it, and what comes after it to another one."""
    alerts: dict[str, list[str]] = {}
    for row in rows:
        alerts.setdefault(row["event_key"], []).append(row["alert_id"])
    for event_key, (first, *more) in alerts.items():
        assert more[:1] in ([], [first]), f"the recovery of {event_key} has another alert"
        assert first not in more[1:], f"the alert of {event_key} was not resolved by its recovery"
