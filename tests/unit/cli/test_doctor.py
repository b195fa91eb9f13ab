"""Each check of `event-service doctor`; tests/e2e runs the whole command."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from event_service.cli.configuration import load_settings
from event_service.cli.doctor import Finding, check_database, check_secret_key, check_server, check_tls
from event_service.settings import Settings
from tests.unit.cli.serving import serving
from tests.unit.rpc.certificates import Authority


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, Path]:
    """Return settings of a service with TLS and a certificate of a CA."""
    files = {"tls_cert_file": tmp_path / "server.pem", "tls_key_file": tmp_path / "server.key"}
    Authority("ours").issue("localhost").write(*files.values())
    return files


@contextmanager
def healthy(settings: Settings, *, client_ca: Path | None = None) -> Iterator[str]:
    """Yield HOST:PORT of a server that is SERVING, with the TLS of the settings."""
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    credentials = None
    if settings.tls_cert_file is not None and settings.tls_key_file is not None:
        pair = settings.tls_key_file.read_bytes(), settings.tls_cert_file.read_bytes()
        credentials = grpc.ssl_server_credentials(
            [pair], client_ca.read_bytes() if client_ca else None, bool(client_ca)
        )
    with serving(server, credentials) as address:
        yield address


def test_a_database_that_does_not_answer_is_a_fault_with_its_cause() -> None:
    settings = load_settings({"mongodb_uri": "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=250"})
    (found,) = check_database(settings)
    assert found.verdict == "fault"
    assert "cannot reach 127.0.0.1:1: Connection refused" in found.detail
    assert found.advice


def test_program_to_embed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mongod"
    program.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = check_database(load_settings({}))
    assert (found.verdict, found.detail) == ("warning", f"embedded ({program}): for development and small installs")
    (found,) = check_database(load_settings({"mongod": "/nowhere/mongod"}))
    assert (found.verdict, found.detail) == (
        "fault", "EVENT_SERVICE_MONGOD: /nowhere/mongod is not a program that can be run",
    )  # fmt: skip


def test_expiry_of_certificate_is_shown(tls: dict[str, Path]) -> None:
    (found,) = check_tls(load_settings(tls))
    assert found.verdict == "warning"  # certificates of tests are valid for a day
    assert f"{tls['tls_cert_file']} is valid until " in found.detail


@pytest.mark.parametrize("name", ["tls_cert_file", "tls_key_file"])
def test_certificates_that_cannot_be_used_are_a_fault(tls: dict[str, Path], name: str) -> None:
    tls[name].write_text("junk")
    assert [one.verdict for one in check_tls(load_settings(tls))] == ["fault"]
    assert [one.verdict for one in check_tls(load_settings({name: tls[name]}))] == ["fault"]


def test_no_tls_finding_without_tls() -> None:
    assert list(check_tls(load_settings({}))) == []


def test_a_secret_key_that_cannot_be_used_is_a_fault() -> None:
    assert [one.verdict for one in check_secret_key(load_settings({"secret_key": "short"}))] == ["fault"]
    assert list(check_secret_key(load_settings({}))) == []


def verdict(settings: Settings, server: str) -> Finding:
    (found,) = check_server(settings, server)
    return found


@pytest.mark.parametrize("mutual", [False, True])
def test_service_with_tls_is_checked_with_its_certificate(tls: dict[str, Path], mutual: bool) -> None:
    client_ca = {"tls_client_ca_file": tls["tls_cert_file"]} if mutual else {}
    settings = load_settings({**tls, **client_ca})
    with healthy(settings, client_ca=settings.tls_client_ca_file) as address:
        assert verdict(settings, address) == Finding("server", "ok", f"{address} is serving")
        assert verdict(load_settings({}), address).verdict == "fault"
        (found,) = check_server(settings.model_copy(update={"grpc_address": address}))
        assert found.verdict == "ok"


def test_closed_port_is_a_warning() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert verdict(load_settings({}), address).detail == f"no server at {address}"
    assert verdict(load_settings({}), "127.0.0.1:99999").detail == "no server at 127.0.0.1:99999"
