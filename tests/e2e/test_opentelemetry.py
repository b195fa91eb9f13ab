"""A real service that exports to a real receiver: parents of spans, values of metrics, and absence of secrets."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.otlp_receiver import OtlpReceiver, attributes
from tests.e2e.service import Service

pytestmark = pytest.mark.xdist_group("opentelemetry")

GRPC_TRACE, HTTP_TRACE, PARENT = "a" * 32, "b" * 32, "c" * 16


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OtlpReceiver, Service, tuple[str, str]]]:
    """Yield the exports of a stopped service after a delivery by gRPC and HTTP, a list and a refusal."""
    settings = {
        "EVENT_SERVICE_LOG_LEVEL": "debug",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",  # what is sent at the end is enough
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    with OtlpReceiver() as receiver:
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
        with Service(tmp_path_factory.mktemp("otel"), settings) as service:
            webhook = service.create_webhook()
            service.create_event(webhook, {"event_key": "k", "title": "t"}, traceparent=f"00-{GRPC_TRACE}-{PARENT}-01")
            answer = httpx.post(
                f"http://{service.http_address}/monitoring/v1/webhook/{webhook[0]}/{webhook[1]}/events",
                json={"event_key": "k", "title": "t"},
                headers={"traceparent": f"00-{HTTP_TRACE}-{PARENT}-01"},
                timeout=30,
            )
            assert answer.raise_for_status().headers["x-request-id"] == HTTP_TRACE
            httpx.post(f"http://{service.http_address}/monitoring/v1/webhook/x/guessed-key/events", json={}, timeout=30)
            httpx.get(f"http://{service.http_address}/healthz", timeout=30)
            service.call("Event", "list", {})
        yield receiver, service, webhook


def named(receiver: OtlpReceiver, name: str, trace: str = "") -> list[Span]:
    return [one for one in receiver.spans() if one.name == name and trace in ("", one.trace_id.hex())]


def test_a_callers_trace_goes_on_down_to_the_database(
    exported: tuple[OtlpReceiver, Service, tuple[str, str]],
) -> None:
    receiver, _, _ = exported
    (rpc,) = named(receiver, "spaceone.api.monitoring.v1.Event/create", GRPC_TRACE)
    assert rpc.parent_span_id.hex() == PARENT
    assert rpc.kind == Span.SPAN_KIND_SERVER
    told = attributes(rpc)
    assert told == {
        "rpc.system": "grpc",
        "rpc.service": "spaceone.api.monitoring.v1.Event",
        "rpc.method": "create",
        "rpc.grpc.status_code": 0,
    }
    (normalize,), (commit,) = named(receiver, "normalize", GRPC_TRACE), named(receiver, "commit", GRPC_TRACE)
    assert normalize.parent_span_id == commit.parent_span_id == rpc.span_id
    batch = next(
        one
        for one in named(receiver, "commit batch")
        if any(link.span_id == commit.span_id and link.trace_id == commit.trace_id for link in one.links)
    )
    below = {one.name for one in receiver.spans() if one.parent_span_id == batch.span_id}
    assert {"insert event", "insert alert"} <= below
    assert all(one.end_time_unix_nano >= one.start_time_unix_nano > 0 for one in receiver.spans())


def test_http_is_told_by_its_route(exported: tuple[OtlpReceiver, Service, tuple[str, str]]) -> None:
    receiver, _, _ = exported
    (request,) = named(receiver, "POST /monitoring/v1/webhook/{webhook_id}/{access_key}/events", HTTP_TRACE)
    assert request.parent_span_id.hex() == PARENT
    assert attributes(request)["http.response.status_code"] == 200
    assert named(receiver, "commit", HTTP_TRACE)
    assert not [one for one in receiver.spans() if "healthz" in one.name]


def test_reads_have_the_database_below_them(exported: tuple[OtlpReceiver, Service, tuple[str, str]]) -> None:
    receiver, _, _ = exported
    (listed,) = named(receiver, "spaceone.api.monitoring.v1.Event/list")
    below = [one for one in receiver.spans() if one.parent_span_id == listed.span_id]
    assert "find event" in {one.name for one in below}
    assert {attributes(one)["db.system.name"] for one in below} == {"mongodb"}


def test_spans_contain_no_key_and_no_event(exported: tuple[OtlpReceiver, Service, tuple[str, str]]) -> None:
    receiver, _, webhook = exported
    everything = b"".join(body for _, body in receiver.bodies)
    for secret in (webhook[1], webhook[0], "guessed-key", "event_key"):
        assert secret.encode() not in everything
    assert b"deployment.environment.name" in everything
    assert b"event-service" in everything


def test_metrics_are_pushed_under_their_own_names(exported: tuple[OtlpReceiver, Service, tuple[str, str]]) -> None:
    receiver, _, _ = exported
    metrics = receiver.metrics()
    stored = [
        point.as_double
        for point in metrics["event_service_events"].sum.data_points
        if point.attributes[0].value.string_value == "stored"
    ]
    assert stored == [2.0]
    assert metrics["event_service_events"].sum.is_monotonic
    (commits,) = metrics["event_service_commit_seconds"].histogram.data_points
    assert commits.count == sum(commits.bucket_counts) >= 2
    assert len(commits.bucket_counts) == len(commits.explicit_bounds) + 1
    assert metrics["event_service_commit_seconds"].unit == "s"
    assert metrics["event_service_queue_creates"].gauge.data_points[0].as_double == 0


def test_the_log_names_the_trace(exported: tuple[OtlpReceiver, Service, tuple[str, str]]) -> None:
    _, service, _ = exported
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    rpc = next(line for line in lines if "Event/create OK" in line["message"])
    assert rpc["request_id"] == rpc["trace_id"] == GRPC_TRACE
    listed = next(line for line in lines if "Event/list OK" in line["message"])
    assert re.fullmatch("[0-9a-f]{32}", listed["trace_id"])


def test_unreachable_collector_does_not_delay_calls(own_database: dict[str, str], tmp_path: Path) -> None:
    with Service(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **own_database}) as service:
        webhook = service.create_webhook()
        service.create_event(webhook, {"event_key": "k", "title": "t"})
        assert service.stop() == 0
