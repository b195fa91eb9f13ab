"""`buf curl` by reflection only, from a folder without protos and from the checkout, which has some."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.service import BIN, CHECKOUT, Service

EVENT = "spaceone.api.monitoring.v1.Event"


def buf_curl(folder: Path, *arguments: str) -> str:
    command = [BIN / "buf", "curl", "--reflect", "--protocol", "grpc", "--http2-prior-knowledge", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["elsewhere", "checkout"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Working directories: buf prefers protos it finds there to reflection."""
    return tmp_path if request.param == "elsewhere" else CHECKOUT / "proto"


def test_list_methods(service: Service, folder: Path) -> None:
    """buf asks reflection v1 first, which lists every service."""
    listed = buf_curl(folder, "--list-methods", f"http://{service.grpc_address}").split()
    assert {f"{EVENT}/{name}" for name in ("create", "get", "list", "stat")} <= set(listed)
    assert "event_service.v1.Ingest/CreateBatch" in listed


def test_create_get_list_stat(service: Service, folder: Path, webhook: tuple[str, str]) -> None:
    def call(method: str, request: dict[str, Any]) -> Any:
        printed = buf_curl(folder, "-d", json.dumps(request), f"http://{service.grpc_address}/{EVENT}/{method}")
        return json.loads(printed)

    webhook_id, access_key = webhook
    assert call("create", {"webhook_id": webhook_id, "access_key": access_key, "data": {"event_key": "k"}}) == {}
    listed = call("list", {"webhook_id": webhook_id})
    assert listed["totalCount"] == 1
    event = listed["results"][0]
    assert call("get", {"event_id": event["eventId"]}) == event
    query = {"distinct": "event_key", "filter": [{"k": "webhook_id", "v": webhook_id, "o": "eq"}]}
    assert call("stat", {"query": query}) == {"results": ["k"]}
