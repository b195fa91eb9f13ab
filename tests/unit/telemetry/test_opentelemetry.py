"""OpenTelemetry is used if configured, and otherwise not imported."""

import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum

from event_service.telemetry import tracing
from event_service.telemetry.metrics import Metrics
from event_service.telemetry.otlp_metrics import metrics_data, start_metrics
from event_service.telemetry.tracing import resource, start_tracing, wants

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "traces", "metrics"),
    [
        ({}, False, False),
        (HERE, True, True),
        ({**HERE, "OTEL_SDK_DISABLED": "true"}, False, False),
        ({**HERE, "OTEL_TRACES_EXPORTER": "none"}, False, True),
        ({**HERE, "OTEL_METRICS_EXPORTER": "prometheus"}, True, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318/v1/metrics"}, False, True),
        ({"OTEL_SERVICE_NAME": "x"}, False, False),
    ],
)
def test_otel_environment_enables_signals(environment: dict[str, str], traces: bool, metrics: bool) -> None:
    assert (wants("TRACES", environment), wants("METRICS", environment)) == (traces, metrics)


def test_opentelemetry_not_imported_without_configuration() -> None:
    script = (
        "import sys, event_service.app, event_service.cli.serving\n"
        "from event_service.telemetry.tracing import start_tracing\n"
        "from event_service.telemetry.otlp_metrics import start_metrics\n"
        "assert start_tracing('1', {}) is None and start_metrics('1', {}, list) is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_extra_logged_with_install_command(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda _: None)
    assert start_tracing("1", HERE) is None
    assert start_metrics("1", HERE, list) is None
    assert caplog.text.count("pip install 'event-service[otel]'") == 2


def test_unsupported_protocol_logged(caplog: pytest.LogCaptureFixture) -> None:
    tracing.warn_of_protocol({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc is not supported" in caplog.text


def test_default_service_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resource("1.2", {}).attributes["service.name"] == "event-service"
    assert resource("1.2", {}).attributes["service.version"] == "1.2"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "events-eu")
    assert resource("1.2", {"OTEL_SERVICE_NAME": "events-eu"}).attributes["service.name"] == "events-eu"


def test_otlp_metrics_equal_prometheus() -> None:
    metrics = Metrics("1.2")
    metrics.events(stored=3)
    for seconds in (0.0005, 0.03, 0.04, 99.0):
        metrics.commit(1, seconds, failed=False)
    data = metrics_data(metrics.collect(), resource("1.2", {}), "1.2", started_ns=5)
    found = {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    events = found["event_service_events"].data
    assert isinstance(events, Sum)
    assert {(point.attributes or {})["outcome"]: point.value for point in events.data_points}["stored"] == 3
    assert events.data_points[0].start_time_unix_nano == 5
    commits = found["event_service_commit_seconds"].data
    assert isinstance(commits, Histogram)
    (point,) = commits.data_points
    assert (point.count, sum(point.bucket_counts), point.bucket_counts[0], point.bucket_counts[-1]) == (4, 4, 1, 1)
    assert point.bucket_counts[point.explicit_bounds.index(0.05)] == 2
    assert isinstance(found["event_service_database_up"].data, Gauge)
