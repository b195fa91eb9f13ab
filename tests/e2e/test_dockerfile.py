"""The Dockerfile's steps, without Docker: install from the wheel into a fresh environment, start, serve, stop.

So this is the wheel's test too: what it installs has nothing of the checkout in it.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.dockerfile import Replay, fresh_python
from tests.e2e.service import CHECKOUT, Service


@pytest.mark.timeout(300)
def test_the_image_serves(tmp_path: Path) -> None:
    base_python = fresh_python(tmp_path / "base")
    arguments = {
        "SOURCE": str(tmp_path / "source"),
        "PREFIX": str(tmp_path / "prefix"),
        "DATA": str(tmp_path / "service" / "data"),
    }
    replay = Replay(CHECKOUT / "Dockerfile", CHECKOUT, base_python, arguments)
    image = replay.run()

    assert image.user == "10001", "it runs as root"
    assert [step.split()[0] for step in image.not_run] == ["apt-get", "useradd", "install"]
    assert image.stop_signal == "SIGTERM"
    where = subprocess.run(
        [tmp_path / "prefix/bin/python", "-c", "import event_service; print(event_service.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(CHECKOUT) not in where

    bill = json.loads((tmp_path / "prefix/sbom.cdx.json").read_text())
    assert bill["metadata"]["component"]["name"] == "event-service"
    assert {"pymongo", "grpcio", "opentelemetry-sdk"} <= {component["name"] for component in bill["components"]}

    if sys.platform == "linux" and platform.machine() == "x86_64":
        (mongod,) = (tmp_path / "prefix").glob("lib/python*/site-packages/fiftyone/db/bin/mongod")
        version = subprocess.run(
            [mongod, "--version"], env=replay.environment(), capture_output=True, text=True, check=True
        )
        assert "db version v6.0" in version.stdout

    refused = subprocess.run(
        [*image.entrypoint, *image.command],
        cwd=tmp_path,
        env=replay.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "authentication is off" in refused.stderr

    command = (*image.entrypoint, *image.command)
    service = Service(tmp_path / "service", command=command, cwd=tmp_path, outside=replay.environment())
    with service:
        assert image.environment["EVENT_SERVICE_DATA_DIR"] == str(service.data_dir)
        healthy = subprocess.run(
            image.health_command, env=service.environment(), capture_output=True, text=True, check=False
        )
        assert (healthy.returncode, healthy.stdout) == (0, "SERVING\n")
        webhook = service.create_webhook("in a container")
        service.create_event(webhook, {"event_key": "k"})
        assert service.call("Event", "list", {"webhook_id": webhook[0]})["total_count"] == 1
        assert service.stop() == 0
    ended = subprocess.run(image.health_command, env=service.environment(), capture_output=True, text=True, check=False)
    assert ended.returncode != 0
