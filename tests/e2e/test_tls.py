"""TLS as the command line meets it; tests/e2e/trust has clients of their own, and mutual TLS."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.service import BIN, Service, clean_environment
from tests.unit.rpc.certificates import Authority

HEALTH = (BIN / "event-service", "health")


def health(service: Service, *arguments: object, wait: int = 0) -> str:
    """What `event-service health` says with these options."""
    command = [*HEALTH, "--server", service.grpc_address, "--wait", str(wait), *map(str, arguments)]
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    ).stdout.strip()


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """The authority of the service; its certificate is in ca.pem, the service's own in server.pem and server.key.
    Another authority's is in stranger-ca.pem.
    """
    authority = Authority("ours")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    authority.issue("localhost").write(tmp_path / "server.pem", tmp_path / "server.key")
    (tmp_path / "stranger-ca.pem").write_bytes(Authority("stranger").certificate)
    return authority


def test_tls(make_service: Callable[..., Service], ours: Authority, tmp_path: Path) -> None:
    service = make_service(
        EVENT_SERVICE_TLS_CERT_FILE=str(tmp_path / "server.pem"),
        EVENT_SERVICE_TLS_KEY_FILE=str(tmp_path / "server.key"),
    )
    service.spawn()
    assert health(service, "--ca-file", tmp_path / "ca.pem", wait=60) == "SERVING"
    assert health(service, "--ca-file", tmp_path / "stranger-ca.pem") == "UNREACHABLE"
    assert health(service) == "UNREACHABLE"
    assert service.stop() == 0


def test_a_certificate_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [BIN / "event-service", "serve"],
        env=clean_environment(
            EVENT_SERVICE_DATA_DIR=str(tmp_path / "data"),
            EVENT_SERVICE_GRPC_ADDRESS="127.0.0.1:0",
            EVENT_SERVICE_HTTP_ADDRESS="127.0.0.1:0",
            EVENT_SERVICE_TLS_CERT_FILE=str(tmp_path / "absent.pem"),
            EVENT_SERVICE_TLS_KEY_FILE=str(tmp_path / "absent.key"),
        ),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ") and "absent" in line]
    assert "Traceback" not in done.stderr
