"""TLS of the command line; tests/e2e/trust has other clients and mutual TLS."""

import json
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e.service import BIN, Service, clean_environment
from tests.unit.rpc.certificates import Authority

HEALTH = (BIN / "event-service", "health")


def health(service: Service, *arguments: object, wait: int = 0) -> str:
    """Return the output of `event-service health` with these options."""
    command = [*HEALTH, "--server", service.grpc_address, "--wait", str(wait), *map(str, arguments)]
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    ).stdout.strip()


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    """Return the CA of the service; its certificate is in ca.pem, the service's own in server.pem and server.key.
    Another CA's is in other-ca.pem.
    """
    authority = Authority("ours")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    authority.issue("localhost").write(tmp_path / "server.pem", tmp_path / "server.key")
    (tmp_path / "other-ca.pem").write_bytes(Authority("other").certificate)
    return authority


def test_tls(make_service: Callable[..., Service], ours: Authority, tmp_path: Path) -> None:
    service = make_service(
        EVENT_SERVICE_TLS_CERT_FILE=str(tmp_path / "server.pem"),
        EVENT_SERVICE_TLS_KEY_FILE=str(tmp_path / "server.key"),
    )
    service.spawn()
    assert health(service, "--ca-file", tmp_path / "ca.pem", wait=60) == "SERVING"
    assert health(service, "--ca-file", tmp_path / "other-ca.pem") == "UNREACHABLE"
    assert health(service) == "UNREACHABLE"
    own = service.environment()
    own.pop("EVENT_SERVICE_SERVER", "")
    assert subprocess.run(HEALTH, env=own, capture_output=True, check=False).stdout == b"SERVING\n"
    assert f"https://{service.http_address}" in service.log
    assert delivered(service, tmp_path / "ca.pem") == 200
    with pytest.raises(httpx.ConnectError, match="certificate"):
        delivered(service, tmp_path / "other-ca.pem")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://{service.http_address}/healthz")
    assert service.stop() == 0


def delivered(service: Service, trusted: Path) -> int:
    """Post an event to a new webhook, trusting that CA; return the status."""
    command = [BIN / "event-service", "webhook", "create", "--name", "n", "--project-id", "project-1", "--json"]
    made = subprocess.run(
        [*command, "--server", service.grpc_address, "--ca-file", service.folder.parent / "ca.pem"],
        env=clean_environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    url = json.loads(made.stdout)["webhook_url"]
    assert url.startswith(f"https://{service.http_address}/")
    return httpx.post(url, json={"event_key": "k"}, verify=ssl.create_default_context(cafile=trusted)).status_code


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
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ") and "absent" in line]
    assert "Traceback" not in done.stderr
