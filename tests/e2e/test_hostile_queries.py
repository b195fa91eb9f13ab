"""The same hostile queries against a running service, over gRPC and HTTP: each is refused as InvalidArgument."""

import json
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from tests.e2e.service import Service
from tests.unit.query.corpus import EXPLODING_PATTERNS, HOSTILE_QUERIES

REQUESTS = {"list": event_pb2.EventQuery, "stat": event_pb2.EventStatQuery}


def asked(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the method and its request."""
    method = "list" if "list" in row else "stat"
    return method, {"query": row[method]}


EXPLODING = [
    {"name": pattern, "list": {"filter": [{"k": "title", "o": "regex", "v": pattern}]}}
    for pattern in EXPLODING_PATTERNS
]


def test_over_http(service: Service) -> None:
    with httpx.Client(base_url=f"http://{service.http_address}", timeout=30, trust_env=False) as client:
        for row in HOSTILE_QUERIES + EXPLODING:
            method, request = asked(row)
            # JSON as text, for httpx refuses what is not Unicode before the service can.
            body = json.dumps(request).encode()
            answer = client.post(
                f"/monitoring/v1/event/{method}", content=body, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 400, row["name"]
            assert answer.json()["detail"]["code"].startswith("ERROR_"), row["name"]


def test_over_grpc(service: Service) -> None:
    sent = 0
    with service.channel() as channel:
        for row in HOSTILE_QUERIES + EXPLODING:
            method, request = asked(row)
            try:
                message = json_format.ParseDict(request, REQUESTS[method]())
            except json_format.ParseError:  # the contract has no place for it
                continue
            sent += 1
            rpc = channel.unary_unary(f"/spaceone.api.monitoring.v1.Event/{method}")
            with pytest.raises(grpc.RpcError) as caught:
                rpc(message.SerializeToString(), timeout=30)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, row["name"]
    assert sent >= 80 + len(EXPLODING)
