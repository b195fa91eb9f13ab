"""Two services with authentication on one database: the second one is a replica, and asks for client certificates."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from pymongo import MongoClient

from event_service.store.client import Database
from event_service.store.embedded.database import running_uri
from event_service.webhooks.keys import delivery_path
from tests.e2e.foreign import ForeignClient, Refused
from tests.e2e.service import Service
from tests.e2e.trust.command_line import CommandLine
from tests.e2e.trust.realm import AUDIENCE, Realm
from tests.unit.rpc.certificates import Authority


@dataclass(frozen=True)
class Certificates:
    """Files for mutual TLS.

    Attributes:
        servers, clients: the authorities of either side; the services trust the one in `clients.pem`.
    """

    folder: Path
    servers: Authority
    clients: Authority

    @property
    def server(self) -> tuple[Path, Path]:
        """Return the service's certificate and key, which it reads again when they change."""
        return self.folder / "server.pem", self.folder / "server.key"

    def of_client(self, name: str, authority: Authority | None = None) -> tuple[Path, Path, Path]:
        """Return the authority to trust, and a fresh certificate and its key, as a client needs them."""
        files = self.folder / "servers.pem", self.folder / f"{name}.pem", self.folder / f"{name}.key"
        (authority or self.clients).issue(name).write(files[1], files[2])
        return files


@dataclass(frozen=True)
class Trust:
    """Both services and who may call them.

    Attributes:
        plain: without TLS, with the embedded database, logging everything it can log.
        mutual: on the database of `plain`, with TLS and client certificates.
    """

    realm: Realm
    certificates: Certificates
    plain: Service
    mutual: Service

    @property
    def uri(self) -> str:
        """Return the embedded database of `plain`, for a second client."""
        return uri_of(self.plain)

    def settings(self, **more: str) -> dict[str, str]:
        """Return settings of one more replica."""
        return {**self.plain.settings, "EVENT_SERVICE_MONGODB_URI": self.uri, **more}


def uri_of(service: Service) -> str:
    uri = running_uri(service.data_dir)
    assert uri is not None, "its embedded database is not running"
    return uri


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trust]:
    """Made once for all tests of this folder."""
    folder = tmp_path_factory.mktemp("trust")
    realm = Realm(folder / "jwks.json")
    certificates = Certificates(folder, Authority("servers"), Authority("clients"))
    for name in ("servers", "clients"):
        (folder / f"{name}.pem").write_bytes(getattr(certificates, name).certificate)
    certificates.servers.issue("replica").write(*certificates.server)
    settings = {
        "EVENT_SERVICE_AUTH": "jwt",
        "EVENT_SERVICE_JWKS_FILE": str(realm.jwks),
        "EVENT_SERVICE_TOKEN_AUDIENCE": AUDIENCE,
        "EVENT_SERVICE_LOG_LEVEL": "debug",
    }
    client = certificates.of_client("health")
    credentials = grpc.ssl_channel_credentials(client[0].read_bytes(), client[2].read_bytes(), client[1].read_bytes())
    with Service(folder / "plain", settings) as plain:
        tls = {
            "EVENT_SERVICE_MONGODB_URI": uri_of(plain),
            "EVENT_SERVICE_TLS_CERT_FILE": str(certificates.server[0]),
            "EVENT_SERVICE_TLS_KEY_FILE": str(certificates.server[1]),
            "EVENT_SERVICE_TLS_CLIENT_CA_FILE": str(folder / "clients.pem"),
        }
        with Service(folder / "mutual", {**settings, **tls}, credentials=credentials) as mutual:
            yield Trust(realm, certificates, plain, mutual)


@pytest.fixture(scope="session")
def plain_client(trust: Trust) -> Iterator[ForeignClient]:
    """A process with SpaceONE's stubs that calls `plain`."""
    with ForeignClient(trust.plain.grpc_address) as client:
        yield client


@pytest.fixture(scope="session")
def mutual_client(trust: Trust) -> Iterator[ForeignClient]:
    """A process with SpaceONE's stubs and a certificate that calls `mutual`."""
    with ForeignClient(trust.mutual.grpc_address, trust.certificates.of_client("caller")) as client:
        yield client


class Door:
    """One way to call a service, and what comes of it."""

    def __init__(self, client: ForeignClient | httpx.Client) -> None:
        self._client = client

    @property
    def is_http(self) -> bool:
        return isinstance(self._client, httpx.Client)

    def ask(self, service: str, method: str, request: dict[str, Any], **metadata: str) -> dict[str, Any]:
        """Return the reply; raises Refused."""
        if isinstance(self._client, ForeignClient):
            return self._client.call(service, method, request, **metadata).reply
        path, body = f"/monitoring/v1/{service.lower()}/{method.replace('_', '-')}", request
        if (service, method) == ("Event", "create"):  # over HTTP that is a delivery to the webhook's URL
            path, body = delivery_path(request["webhook_id"], request["access_key"]), request["data"]
        headers = {name.replace("_", "-"): value for name, value in metadata.items()}
        answer = self._client.post(path, json=body, headers=headers)
        if answer.status_code == 200:
            return dict(answer.json())
        detail = answer.json()["detail"]
        raise Refused(CODES.get(answer.status_code, str(answer.status_code)), f"{detail['code']}: {detail['message']}")

    def code(self, service: str, method: str, request: dict[str, Any], **metadata: str) -> str:
        """Return the code a call ends with; "OK" for an answer."""
        try:
            self.ask(service, method, request, **metadata)
        except Refused as refused:
            return refused.code
        return "OK"


CODES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}


@pytest.fixture(scope="session")
def http_client(trust: Trust) -> Iterator[httpx.Client]:
    """Call `plain` over HTTP."""
    with httpx.Client(base_url=f"http://{trust.plain.http_address}", timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(params=["plain_client", "mutual_client", "http_client"])
def door(request: pytest.FixtureRequest) -> Door:
    """Return each way in turn."""
    return Door(request.getfixturevalue(request.param))


@pytest.fixture(scope="session")
def database(trust: Trust) -> Iterator[Database]:
    """Yield the database of both services, as seen by a direct client."""
    with MongoClient[dict[str, Any]](trust.uri, tz_aware=True) as client:
        yield client["monitoring"]


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A command line without any settings, in an empty folder."""
    for name in [name for name in os.environ if name.startswith("EVENT_SERVICE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return CommandLine(monkeypatch, capsys)
