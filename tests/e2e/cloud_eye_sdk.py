"""The vendor's SDK with another endpoint, and a proxy that changes its requests."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from huaweicloudsdkces.v1 import (
    CesClient,
    CreateEventsRequest,
    CreateEventsRequestBody,
    EventItemDetail,
    ListEventDetailRequest,
    ListEventsRequest,
)
from huaweicloudsdkcore.auth.credentials import BasicCredentials

from tests.e2e.service import Service


@dataclass
class Account:
    """A Cloud Eye project of a service, with the credentials that may report to it."""

    service: Service
    project_id: str = field(default_factory=lambda: uuid4().hex)
    access_key_id: str = ""
    secret_key: str = ""
    owner: str = "project-1"  # the service's own project

    def __post_init__(self) -> None:
        if not self.access_key_id:
            plugin = {"plugin_id": "cloud-eye", "options": {"project_id": self.project_id}}
            request = {"name": "cloud eye", "project_id": self.owner, "plugin_info": plugin}
            made = self.service.call("Webhook", "create", request)
            self.access_key_id, self.secret_key = made["webhook_id"], made["access_key"]

    def client(self, *, secret_key: str = "", project_id: str = "", address: str = "") -> CesClient:
        credentials = BasicCredentials(self.access_key_id, secret_key or self.secret_key, project_id or self.project_id)
        endpoint = f"http://{address or self.service.http_address}"
        return CesClient.new_builder().with_credentials(credentials).with_endpoint(endpoint).build()

    def stored(self) -> list[dict[str, Any]]:
        """Return the project's events as Event.list gives them."""
        query = {"filter": [{"k": "account", "v": self.project_id, "o": "eq"}]}
        return list(self.service.call("Event", "list", {"query": query}).get("results", []))


def now_ms() -> int:
    return int(time.time() * 1000)


def event(name: str = "systemInvaded", milliseconds: int | None = None, **detail: Any) -> CreateEventsRequestBody:
    return CreateEventsRequestBody(
        event_name=name,
        event_source="financial.System",
        time=now_ms() if milliseconds is None else milliseconds,
        detail=EventItemDetail(**detail),
    )


def request(*events: CreateEventsRequestBody) -> CreateEventsRequest:
    return CreateEventsRequest(body=list(events))


def names_request(**parameters: Any) -> ListEventsRequest:
    return ListEventsRequest(**parameters)


def detail_request(name: str, **parameters: Any) -> ListEventDetailRequest:
    return ListEventDetailRequest(event_name=name, event_type="EVENT.CUSTOM", **parameters)


@contextmanager
def changing(address: str, old: bytes, new: bytes) -> Iterator[str]:
    """A proxy in front of `address` that replaces some bytes of the first request. Yields its own address."""
    host, _, port = address.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def forward() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection((host, int(port))) as server:
                received = b""
                while old not in received:
                    received += client.recv(65536)
                server.sendall(received.replace(old, new))
                server.settimeout(1)
                with suppress(TimeoutError):
                    while answer := server.recv(65536):
                        client.sendall(answer)

        thread = threading.Thread(target=forward)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
