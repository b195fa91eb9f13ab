"""SpaceONE's CLI: it finds the API by reflection v1alpha, and version 1 imports the stubs of each listed package."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.conftest import FOLDER
from tests.e2e.service import Service

Spacectl = Callable[..., subprocess.CompletedProcess[str]]


pytestmark = pytest.mark.timeout(600)  # a command imports pandas and more: seconds each


@pytest.fixture(scope="module", params=["spacectl-1.12.2", "spacectl-2.0.10"])
def spacectl(request: pytest.FixtureRequest, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Spacectl:
    """Run spacectl with a configuration of its own."""
    home = str(tmp_path_factory.mktemp(request.param))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(FOLDER) / request.param / "bin" / "spacectl", *arguments],
            env=os.environ | {"HOME": home, "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            check=False,
        )

    for arguments in (
        ["config", "init", "-e", "test"],
        ["config", "set", "api_key", "none"],
        ["config", "endpoint", "add", "monitoring", f"grpc://{service.grpc_address}"],
    ):
        assert run(*arguments).returncode == 0
    return run


def test_webhook_and_events(spacectl: Spacectl, service: Service) -> None:
    def call(verb: str, resource: str, parameters: dict[str, Any]) -> dict[str, Any]:
        done = spacectl("exec", verb, f"monitoring.{resource}", "-o", "json", "-j", json.dumps(parameters))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    made = call("create", "Webhook", {"name": "by spacectl", "project_id": "p", "plugin_info": {"plugin_id": "native"}})
    sender = {"webhook_id": made["webhook_id"], "access_key": made["access_key"]}
    call("create", "Event", {**sender, "data": {"event_key": "disk", "title": "Disk [/] is full"}})
    mine = {"webhook_id": made["webhook_id"]}
    listed = call("list", "Event", mine)
    assert [event["title"] for event in listed["results"]] == ["Disk [/] is full"]
    # Without a filter: version 1 cannot put a value into the Filter of current protobuf stubs.
    (counted,) = call("stat", "Event", {"query": {"aggregate": [{"count": {"name": "n"}}]}})["results"]
    assert counted["n"] >= 1
    table = spacectl("list", "monitoring.Event", "-p", f"webhook_id={made['webhook_id']}")
    assert "Disk [/] is full" in table.stdout


def test_error_shown(spacectl: Spacectl) -> None:
    done = spacectl("exec", "get", "monitoring.Event", "-p", "event_id=event-none")
    assert "Resource cannot be found or access is denied. (event_id = event-none)" in done.stdout + done.stderr
