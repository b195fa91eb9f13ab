"""grpcurl, which knows nothing of our protos: what it can do, it does through reflection."""

import json
import subprocess
from typing import Any

import pytest

from tests.e2e.service import BIN, Service

EVENT = "spaceone.api.monitoring.v1.Event"


def grpcurl(*arguments: str) -> str:
    """Run grpcurl; return its output, or fail with its error."""
    done = subprocess.run([BIN / "grpcurl", "-plaintext", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def call(service: Service, method: str, request: dict[str, Any]) -> Any:
    return json.loads(grpcurl("-d", json.dumps(request), service.grpc_address, f"{EVENT}/{method}"))


def test_list_names_upstreams_services(service: Service) -> None:
    """grpcurl 1.8.6 speaks reflection v1alpha, which lists upstream's services."""
    assert grpcurl(service.grpc_address, "list").split() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "spaceone.api.monitoring.v1.Alert",
        EVENT,
        "spaceone.api.monitoring.v1.Webhook",
    ]
    assert grpcurl(service.grpc_address, "list", EVENT).split() == [
        f"{EVENT}.{name}" for name in ("create", "get", "list", "stat")
    ]


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        (EVENT, "rpc create ( .spaceone.api.monitoring.v1.CreateEventRequest ) returns ( .google.protobuf.Empty );"),
        (EVENT, 'post:"/monitoring/v1/event/list"'),
        ("spaceone.api.monitoring.v1.EventInfo", "string occurred_at = 42;"),
        ("spaceone.api.core.v2.Query", "repeated string only = 7;"),
        ("spaceone.api.monitoring.v1.Webhook", "rpc update_plugin"),
        ("event_service.v1.Webhooks", "rpc RotateKey"),
    ],
)
def test_describe(service: Service, symbol: str, said: str) -> None:
    described = grpcurl(service.grpc_address, "describe", symbol)
    assert said.replace(" ", "") in described.replace(" ", "").replace("\n", "")


def test_create_get_list_stat(service: Service, webhook: tuple[str, str]) -> None:
    webhook_id, access_key = webhook
    data = {"event_key": "disk /", "title": "Disk full", "severity": "CRITICAL", "raw": {"free": 0.5}}
    created = grpcurl(
        "-v",
        "-d",
        json.dumps({"webhook_id": webhook_id, "access_key": access_key, "data": data}),
        service.grpc_address,
        f"{EVENT}/create",
    )
    trailers = dict(line.split(": ", 1) for line in created.splitlines() if line.startswith("event-"))
    assert trailers["event-count"] == "1"
    event = call(service, "get", {"event_id": trailers["event-id"]})
    assert (event["title"], event["severity"], event["raw_data"]) == ("Disk full", "CRITICAL", data)
    listed = call(service, "list", {"webhook_id": webhook_id})
    assert listed == {"results": [event], "total_count": 1}
    group = {"keys": [{"k": "severity", "n": "severity"}], "fields": [{"o": "count", "n": "count"}]}
    where = [{"k": "webhook_id", "v": webhook_id, "o": "eq"}]
    counted = call(service, "stat", {"query": {"filter": where, "aggregate": [{"group": group}]}})
    assert counted == {"results": [{"count": 1, "severity": "CRITICAL"}]}


def test_an_error_is_readable(service: Service) -> None:
    done = subprocess.run(
        [BIN / "grpcurl", "-plaintext", "-d", "{}", service.grpc_address, f"{EVENT}/get"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Code: InvalidArgument" in done.stderr
    assert "ERROR_REQUIRED_PARAMETER: Required parameter. (key = event_id)" in done.stderr
    assert '"field":"event_id"' in done.stderr.replace(" ", "")
