"""Concurrent senders that send each event until it is acknowledged, as collectors do."""

import threading
import time
import uuid

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


class Writers:
    """Threads that send events under idempotency keys and retry until OK.

    Attributes:
        acknowledged: the event_key of every event that was answered OK.
        attempts: calls made; more than `acknowledged` where some had to be repeated.
        unexpected: errors no sender should see.
    """

    def __init__(self, service: Service, webhook: tuple[str, str], count: int = 8) -> None:
        self.service, self.webhook = service, webhook
        self.acknowledged: set[str] = set()
        self.attempts = 0
        self.unexpected: list[str] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._write, daemon=True) for _ in range(count)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, seconds: float = 60) -> None:
        """Lets each writer have its present event acknowledged, and ends them."""
        self._ending.set()
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a writer found no end"

    def _write(self) -> None:
        channel = self.service.channel()
        while not self._ending.is_set():
            name = uuid.uuid4().hex
            while not self._acknowledged(channel, name):
                # A fresh channel: the old one would wait out its backoff before it looks again.
                channel.close()
                time.sleep(0.05)
                channel = self.service.channel()
            with self._lock:
                self.acknowledged.add(name)
        channel.close()

    def _acknowledged(self, channel: grpc.Channel, name: str) -> bool:
        """Sends the event once; whether it was answered OK."""
        request = event_pb2.CreateEventRequest(webhook_id=self.webhook[0], access_key=self.webhook[1])
        request.data.update({"event_key": name, "title": f"event {name}", "severity": "WARNING"})
        rpc = channel.unary_unary(CREATE, request_serializer=event_pb2.CreateEventRequest.SerializeToString)
        with self._lock:
            self.attempts += 1
        try:
            rpc(request, timeout=5, metadata=(("idempotency-key", name),))
        except grpc.RpcError as error:
            if error.code() not in RETRIED:
                self.unexpected.append(f"{error.code().name}: {error.details()}")
            return False
        return True
