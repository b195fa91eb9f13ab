"""Validators and generators of clients read /openapi.json, and a generated client calls the service."""

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.clients.conftest import FOLDER
from tests.e2e.service import Service

PYTHON = Path(FOLDER) / "openapi" / "bin"
NODE = Path(FOLDER) / "node" / "node_modules" / ".bin"

CLIENT = """
import sys

from generated import Client
from generated.api.collector import deliver
from generated.api.event import event_list, event_stat
from generated.models.deliver_json_body_type_0 import DeliverJsonBodyType0
from generated.models.spaceone_api_core_v2_statistics_query import SpaceoneApiCoreV2StatisticsQuery
from generated.models.spaceone_api_monitoring_v1_event_query import SpaceoneApiMonitoringV1EventQuery
from generated.models.spaceone_api_monitoring_v1_event_stat_query import SpaceoneApiMonitoringV1EventStatQuery

base_url, webhook_id, access_key = sys.argv[1:]
client = Client(base_url, raise_on_unexpected_status=True)
payload = DeliverJsonBodyType0.from_dict({"event_key": "disk", "title": "Disk full", "severity": "CRITICAL"})
deliver.sync(webhook_id, access_key, client=client, body=payload)
page = event_list.sync(client=client, body=SpaceoneApiMonitoringV1EventQuery(webhook_id=webhook_id))
print(page.total_count, page.results[0].title, page.results[0].raw_data["event_key"])
query = SpaceoneApiCoreV2StatisticsQuery.from_dict({
    "filter": [{"k": "webhook_id", "v": webhook_id, "o": "eq"}],
    "aggregate": [{"count": {"name": "n"}}],
})
print(event_stat.sync(client=client, body=SpaceoneApiMonitoringV1EventStatQuery(query=query))["results"])
"""

TYPES = """
import type { components, paths } from "./api";
const event: components["schemas"]["spaceone.api.monitoring.v1.EventInfo"] = { raw_data: { any: [1, "x"] } };
const body: paths["/monitoring/v1/event/list"]["post"]["requestBody"] = {
  content: { "application/json": { severity: "CRITICAL", query: { page: { limit: 1 } } } },
};
// @ts-expect-error event_id is required
const request: components["schemas"]["spaceone.api.monitoring.v1.EventRequest"] = {};
export { event, body, request };
"""


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program that must succeed; return its output."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def document(service: Service, tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    with urllib.request.urlopen(f"http://{service.http_address}/openapi.json", timeout=30) as reply:
        path.write_bytes(reply.read())
    return path


def test_document_is_valid(document: Path) -> None:
    assert "OK" in run(PYTHON / "openapi-spec-validator", document, cwd=document.parent)
    assert "is valid" in run(NODE / "redocly", "lint", document, cwd=document.parent)


def test_generated_python_client_creates_lists_and_counts(service: Service, document: Path) -> None:
    folder = document.parent
    (folder / "config.yaml").write_text("post_hooks: []\n")
    said = run(
        PYTHON / "openapi-python-client", "generate", "--path", document, "--output-path", folder / "generated",
        "--meta", "none", "--config", folder / "config.yaml", cwd=folder,
    )  # fmt: skip
    assert "WARNING" not in said.upper()
    operations = [operation for path in json.loads(document.read_text())["paths"].values() for operation in path]
    modules = [path for path in (folder / "generated" / "api").rglob("*.py") if path.name != "__init__.py"]
    assert len(modules) == len([name for name in operations if name in ("get", "post")])
    (folder / "client.py").write_text(CLIENT)
    url, webhook = f"http://{service.http_address}", service.create_webhook("generated")
    said = run(PYTHON / "python", "client.py", url, *webhook, cwd=folder)
    assert said == "1 Disk full disk\n[{'n': 1.0}]\n"


def test_generated_types_of_json_objects_are_open(document: Path) -> None:
    folder = document.parent
    run(NODE / "openapi-typescript", document, "--output", folder / "api.d.ts", cwd=folder)
    (folder / "use.ts").write_text(TYPES)
    run(NODE / "tsc", "--noEmit", "--strict", "--skipLibCheck", "use.ts", cwd=folder)
