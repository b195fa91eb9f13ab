"""Counters, gauges and their labels."""

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Router

from event_service.http.metrics import metrics_route
from event_service.http.middleware import with_middleware
from event_service.telemetry.metrics import Metrics


def values(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by its name and labels."""
    families = text_string_to_metric_families(metrics.exposition()[0].decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return values(metrics).get((name, frozenset(labels.items())))


def test_calls_are_counted_by_method_and_code_and_timed_by_method() -> None:
    metrics = Metrics("1.2.3")
    for code in ("OK", "OK", "NOT_FOUND"):
        metrics.rpc("/package.Service/get", code, 0.004)
    assert value(metrics, "event_service_rpcs_total", method="/package.Service/get", code="OK") == 2
    assert value(metrics, "event_service_rpcs_total", method="/package.Service/get", code="NOT_FOUND") == 1
    assert value(metrics, "event_service_rpc_seconds_bucket", method="/package.Service/get", le="0.0025") == 0
    assert value(metrics, "event_service_rpc_seconds_bucket", method="/package.Service/get", le="0.005") == 3
    assert value(metrics, "event_service_build_info", version="1.2.3") == 1


def test_unknown_verbs_counted_as_other() -> None:
    metrics = Metrics("0")
    for verb in ("GET", "BREW", "WHEN"):
        metrics.request(verb, "/somewhere/{id}", 405, 0.001)
    assert value(metrics, "event_service_http_requests_total", verb="other", route="/somewhere/{id}", status="405") == 2
    assert value(metrics, "event_service_http_request_seconds_count", route="/somewhere/{id}") == 3


def test_events_are_counted_by_outcome_from_zero() -> None:
    metrics = Metrics("0")
    assert value(metrics, "event_service_events_total", outcome="duplicate") == 0
    metrics.events(stored=3, unreadable=1)
    metrics.events(duplicate=2, unmatched=1)
    metrics.delivery("alertmanager", "stored")
    counted = {outcome: value(metrics, "event_service_events_total", outcome=outcome) for outcome in OUTCOMES}
    assert counted == {"stored": 3, "duplicate": 2, "unmatched_recovery": 1, "unreadable": 1}
    assert value(metrics, "event_service_deliveries_total", parser="alertmanager", outcome="stored") == 1


OUTCOMES = ("stored", "duplicate", "unmatched_recovery", "unreadable")


def test_commits_and_gauges() -> None:
    metrics = Metrics("0")
    metrics.commit(5, 0.02, failed=False)
    metrics.commit(2, 0.02, failed=True)
    waiting = [7]
    metrics.watch_queue(lambda: waiting[0], lambda: 4096)
    metrics.watch_reads(lambda: 3)
    metrics.watch_calls(lambda: 4)
    metrics.watch_database(lambda: False)
    assert value(metrics, "event_service_batch_events_sum") == 7
    assert value(metrics, "event_service_failed_commits_total") == 1
    assert value(metrics, "event_service_queue_creates") == 7
    waiting[0] = 0
    assert value(metrics, "event_service_queue_creates") == 0
    assert value(metrics, "event_service_queue_bytes") == 4096
    assert value(metrics, "event_service_reads_pending") == 3
    assert value(metrics, "event_service_rpcs_under_way") == 4
    assert value(metrics, "event_service_database_up") == 0


def test_registries_are_separate() -> None:
    one, other = Metrics("0"), Metrics("0")
    one.events(stored=1)
    assert value(other, "event_service_events_total", outcome="stored") == 0


async def test_metrics_route_prometheus_format_without_paths() -> None:
    metrics = Metrics("0")
    gate = with_middleware(Router([metrics_route(metrics)], redirect_slashes=False), metrics.request)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://test") as client:
        await client.get("/monitoring/v1/webhook/webhook-1/secret-key/events?token=secret-token")
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "secret" not in answer.text
    assert 'route="(none)"' in answer.text


@pytest.mark.parametrize("version", ["", ";version=0.0.1", ";version=1.0.0", ";version=x\u00e9"])
async def test_metrics_route_openmetrics_and_gzip_on_request(version: str) -> None:
    metrics = Metrics("0")
    metrics.events(stored=2)
    app = Router([metrics_route(metrics)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        accept = f"application/openmetrics-text{version},text/plain;version=0.0.4;q=0.5".encode()
        answer = await client.get("/metrics", headers={b"accept": accept, b"accept-encoding": b"gzip"})
        plain = await client.get("/metrics", headers={"accept-encoding": "identity"})
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(answer.text)}
    samples = families["event_service_events"].samples
    assert [sample.value for sample in samples if sample.labels == {"outcome": "stored"}] == [2.0]
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
