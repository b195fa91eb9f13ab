"""grpc-js: services loaded by reflection, and retry policies."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.clients.conftest import FOLDER
from tests.e2e.service import CHECKOUT, Service

UPSTREAM = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    "spaceone.api.monitoring.v1.Event",
    "spaceone.api.monitoring.v1.Webhook",
}


def node(program: str, *arguments: str) -> Any:
    """Run a program of this folder; return the JSON it prints."""
    done = subprocess.run(
        ["node", Path(__file__).with_name(program), *arguments],
        env=os.environ | {"NODE_PATH": str(Path(FOLDER) / "node" / "node_modules")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("client", ["grpc-js-reflection-client", "grpc-reflection-js"])
def test_services_loaded_by_reflection(service: Service, client: str) -> None:
    loaded = node("reflection.js", client, service.grpc_address, "event_service.v1.Ingest")
    assert loaded.keys() == UPSTREAM | {"event_service.v1.Ingest"}
    assert loaded["spaceone.api.monitoring.v1.Event"] == ["create", "get", "list", "stat"]
    assert loaded["event_service.v1.Ingest"] == ["CreateBatch", "CreateStream"]


@pytest.mark.parametrize("name", ["events", "ingest", "webhooks"])
def test_protos_read_by_proto_loader(name: str) -> None:
    assert node(
        "protos.js", str(CHECKOUT / "proto"), f"event_service/v1/{name}.proto", f"event_service.v1.{name.title()}"
    )
