"""A client of Events.Watch that goes on with its last token whenever the stream ends, as live views do."""

import threading
import time
from typing import Self

import grpc

from event_service._gen.event_service.v1 import events_pb2, events_pb2_grpc
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from tests.e2e.service import Service
from tests.waiting import wait_until


class Watch:
    """Watch the events of a webhook in a thread.

    Attributes:
        received: event_ids received so far.
    """

    def __init__(self, service: Service, webhook: tuple[str, str]) -> None:
        self.received: set[str] = set()
        self._service = service
        self._request = events_pb2.WatchRequest(query=event_pb2.EventQuery(webhook_id=webhook[0]))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        """Return once the stream is open: it yields events stored from then on."""
        self._thread.start()
        wait_until(lambda: self._request.resume_token)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._ending.is_set():
            with self._service.channel() as channel:
                call = events_pb2_grpc.EventsStub(channel).Watch(self._request)
                stopper = threading.Thread(target=self._cancel_at_end, args=(call,), daemon=True)
                stopper.start()
                try:
                    for reply in call:
                        if reply.HasField("event"):
                            self.received.add(reply.event.event_id)
                        if reply.resume_token:
                            self._request.resume_token = reply.resume_token
                except grpc.RpcError:
                    time.sleep(0.1)

    def _cancel_at_end(self, call: grpc.Call) -> None:
        while call.is_active() and not self._ending.wait(0.1):
            pass
        call.cancel()
