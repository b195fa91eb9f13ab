"""The proxy of deploy/compose.yaml in front of a real service: gRPC and HTTP pass, and no key is logged."""

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.e2e.service import CHECKOUT, Service, free_port

NGINX = CHECKOUT / ".tools" / "bin" / "nginx"

pytestmark = pytest.mark.skipif(not NGINX.exists(), reason="make test-tools has not unpacked it")


@pytest.fixture
def proxied(service: Service, tmp_path: Path) -> Iterator[tuple[Service, Path]]:
    """Yield the service as it is reached through nginx, and nginx' log. The second service of the file is away."""
    grpc_port, http_port, nobody = free_port(), free_port(), free_port()
    text = (CHECKOUT / "deploy" / "nginx.conf").read_text()
    for old, new in (
        ("server event-service-1:50051", f"server {service.grpc_address}"),
        ("server event-service-1:8080", f"server {service.http_address}"),
        ("server event-service-2:50051", f"server 127.0.0.1:{nobody}"),
        ("server event-service-2:8080", f"server 127.0.0.1:{nobody}"),
        ("        listen 50051", f"        listen 127.0.0.1:{grpc_port}"),
        ("        listen 8080", f"        listen 127.0.0.1:{http_port}"),
        ("access_log /dev/stdout", "access_log access.log"),
        ("worker_processes auto", f"worker_processes 1;\ndaemon off;\npid {tmp_path}/pid"),
        ("http {", "http {\n" + "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in TEMPORARY)),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "nginx.conf").write_text(text)
    command = [NGINX, "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-e", "stderr"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    through = replace(service, grpc_address=f"127.0.0.1:{grpc_port}", http_address=f"127.0.0.1:{http_port}")
    try:
        give_up_at = time.monotonic() + 30
        while through.health() != "SERVING":
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < give_up_at, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield through, tmp_path
    finally:
        process.terminate()
        process.wait(30)


TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def test_calls_pass_and_keys_do_not_stay(proxied: tuple[Service, Path], webhook: tuple[str, str]) -> None:
    service, folder = proxied
    for number in range(4):  # whichever of the two it would be for
        service.create_event(webhook, {"event_key": f"by grpc {number}", "title": "t"})
        url = f"http://{service.http_address}/monitoring/v1/webhook/{webhook[0]}/{webhook[1]}/events"
        httpx.post(url, json={"event_key": f"by http {number}", "title": "t"}, timeout=30).raise_for_status()
    found = service.call("Event", "list", {"webhook_id": webhook[0]})
    assert found["total_count"] == 8
    token = "x" * 48_000  # as long as one with many projects
    assert service.call("Event", "list", {"webhook_id": webhook[0]}, token=token)["total_count"] == 8
    answer = httpx.get(
        f"http://{service.http_address}/readyz", headers={"authorization": f"Bearer {token}"}, timeout=30
    )
    assert answer.status_code == 200
    assert httpx.get(f"http://{service.http_address}/metrics", timeout=30).status_code == 404
    logged = (folder / "access.log").read_text() + (folder / "log").read_text()
    assert re.search(rf'"POST /monitoring/v1/webhook/{webhook[0]}/\*\*\*" 200', logged)
    assert webhook[1] not in logged
