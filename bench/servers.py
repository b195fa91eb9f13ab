"""The servers that are measured: ours, upstream, the floor; and the databases they stand on."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
from pymongo import MongoClient

from bench import canned_events
from bench.processes import ROOT, Server, free_port, wait_for_port
from bench.workload import Names
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2, event_pb2_grpc, webhook_pb2, webhook_pb2_grpc
from event_service.identity.issuing import generate_key, issue_token, public_half
from event_service.identity.principal import Role
from event_service.store.embedded.database import EmbeddedDatabase

PEER_MATERIAL = ROOT.parent / "shared" / "peer"
"""Upstream's start script and settings; not part of this repository."""

_PEER_PORT, _PEER_DATABASE_PORT = 39051, 39017
DATABASE = "event_service_bench"
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Target:
    """A server to put load on: a gRPC port of loopback, the process that is weighed, who asks."""

    name: str
    port: int
    process_id: int
    names: Names


def peer_folder() -> Path:
    """Return the folder of upstream's environment made by `peer.sh setup`: PEER, or .peer in the checkout."""
    return Path(os.environ.get("PEER", ROOT / ".peer")).resolve()


def peer_is_missing() -> str:
    """ "" if upstream can be run, else what to do, in one line."""
    script = PEER_MATERIAL / "peer.sh"
    if not script.exists():
        return "upstream's start script ../shared/peer/peer.sh is not there"
    if not (peer_folder() / "up" / "bin" / "spaceone").exists():
        return "upstream is not installed: PEER=.peer bash ../shared/peer/peer.sh setup"
    return ""


@contextmanager
def upstream() -> Iterator[Target]:
    """Upstream with all it needs, seeded and empty of events; its database is at `peer_database_uri`."""
    environment = {**os.environ, "PEER": str(peer_folder())}
    script = ["bash", str(PEER_MATERIAL / "peer.sh")]
    try:
        subprocess.run([*script, "start"], env=environment, check=True, stdout=subprocess.DEVNULL)
        process_id = int((peer_folder() / "upstream.pid").read_text())
        token = json.dumps({"role": "DOMAIN_ADMIN", "did": canned_events.DOMAIN})
        yield Target("upstream", _PEER_PORT, process_id, Names("webhook-1", "k1", (), {"token": token}))
    finally:
        subprocess.run([*script, "stop"], env=environment, check=True)


def peer_database_uri() -> str:
    """Return the URI of the mongod that upstream uses, with the user upstream uses."""
    return f"mongodb://peer:peer@127.0.0.1:{_PEER_DATABASE_PORT}/?authSource=admin&directConnection=true"


@contextmanager
def mongod() -> Iterator[str]:
    """Run an embedded database of its own, empty; yield its URI."""
    with _folder() as folder:
        database = EmbeddedDatabase(folder)
        try:
            yield database.start()
        finally:
            database.stop()


@contextmanager
def double(*, events: int = 300, write_latency_ms: float = 0.0) -> Iterator[str]:
    """A MongoDB double; yields its URI."""
    command = [sys.executable, "-m", "bench.mongodb_double", "--write-latency-ms", str(write_latency_ms),
        "--events", str(events)]  # fmt: skip
    with _folder() as folder, _started("mongodb double", folder, command) as (_, port):
        yield f"mongodb://127.0.0.1:{port}/?directConnection=true"


@contextmanager
def floor() -> Iterator[Target]:
    """Yield the server whose one rpc does nothing."""
    with _folder() as folder, _started("floor", folder, [sys.executable, "-m", "bench.floor"]) as (server, port):
        yield Target("floor", port, server.process_id, Names("", "", ("event-000000000000",), {}))


@contextmanager
def ours(database_uri: str, *, settings: dict[str, str] | None = None) -> Iterator[Target]:
    """Yield the service on a database by URI, authentication on, with one webhook and no events.

    Args:
        database_uri: of a server whose database `event_service_bench` may be dropped.
        settings: more EVENT_SERVICE_* variables.
    """
    client: MongoClient[dict[str, object]] = MongoClient(database_uri)
    client.drop_database(DATABASE)
    client.close()
    key = generate_key("ES256", domain_id=canned_events.DOMAIN)
    port = free_port()
    with _folder() as folder:
        (folder / "jwks.json").write_text(json.dumps({"keys": [public_half(key)]}))
        environment = {
            "EVENT_SERVICE_MONGODB_URI": database_uri,
            "EVENT_SERVICE_DATABASE": DATABASE,
            "EVENT_SERVICE_DATA_DIR": str(folder),
            "EVENT_SERVICE_AUTH": "jwt",
            "EVENT_SERVICE_JWKS_FILE": str(folder / "jwks.json"),
            "EVENT_SERVICE_GRPC_ADDRESS": f"127.0.0.1:{port}",
            "EVENT_SERVICE_HTTP_ADDRESS": f"127.0.0.1:{free_port()}",
            **(settings or {}),
        }
        log = folder / "service.log"
        server = Server.start("ours", [sys.executable, "-m", "event_service", "serve"], log, environment)
        try:
            wait_for_port(port, 60, server)
            owner = issue_token(key, Role.WORKSPACE_OWNER, domain_id=canned_events.DOMAIN, expires_in=_HOUR,
                workspace_id=canned_events.WORKSPACE)  # fmt: skip
            reader = issue_token(key, Role.DOMAIN_ADMIN, domain_id=canned_events.DOMAIN, expires_in=_HOUR)
            webhook = _make_webhook(port, owner)
            names = Names(webhook.webhook_id, webhook.access_key, canned_events.EVENT_IDS, {"token": reader})
            yield Target("ours", port, server.process_id, names)
        except BaseException:
            print(f"The end of the service's log:\n{server.log_tail()}", file=sys.stderr)
            raise
        finally:
            server.stop()


def with_event_ids(target: Target, number: int = 100) -> Target:
    """Return the target with its newest events to ask for."""
    with grpc.insecure_channel(f"127.0.0.1:{target.port}") as channel:
        query = event_pb2.EventQuery()
        query.query.page.limit = number
        reply = event_pb2_grpc.EventStub(channel).list(query, metadata=list(target.names.metadata.items()), timeout=60)
    return replace(target, names=replace(target.names, event_ids=tuple(row.event_id for row in reply.results)))


def _make_webhook(port: int, token: str) -> webhook_pb2.WebhookInfo:
    request = webhook_pb2.CreateWebhookRequest(name="bench", project_id=canned_events.PROJECT)
    request.plugin_info.plugin_id = "native"
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = webhook_pb2_grpc.WebhookStub(channel)
        return stub.create(request, metadata=[("token", token)], timeout=30, wait_for_ready=True)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="event-service-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(name: str, folder: Path, command: Sequence[str | Path]) -> Iterator[tuple[Server, int]]:
    """Run a command that takes a port as its last word, until the block ends."""
    port = free_port()
    server = Server.start(name, [*command, str(port)], folder / "log", {})
    try:
        wait_for_port(port, 60, server)
        yield server, port
    finally:
        server.stop()
