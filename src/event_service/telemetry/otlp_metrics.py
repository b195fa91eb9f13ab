"""Export of `metrics.py` to an OpenTelemetry collector, with the names and values of /metrics.

Each metric is declared once, for Prometheus, and converted at export, which adds no cost per request. Enabled by the
OTEL_* environment variables; see `tracing.py`.

Source: OpenTelemetry, "Prometheus and OpenMetrics Compatibility".
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import Metric as PrometheusMetric

from event_service.telemetry.tracing import is_installed, resource, wants, warn_of_protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricExporter, MetricsData
    from opentelemetry.sdk.resources import Resource

_log = logging.getLogger(__name__)

_DEFAULT_INTERVAL_MS = 60_000
Collect = Callable[[], Iterable[PrometheusMetric]]


def start_metrics(version: str, environment: Mapping[str, str], collect: Collect) -> "MetricsPusher | None":
    """Start the export that OTEL_* configures; return None without.

    Args:
        version: of this service.
        collect: returns the current metrics.
    """
    if not wants("METRICS", environment):
        return None
    if not is_installed():
        _log.warning("OTEL_* configures metrics, but OpenTelemetry is not installed: pip install 'event-service[otel]'")
        return None
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter  # noqa: PLC0415

    warn_of_protocol(environment)
    interval = environment.get("OTEL_METRIC_EXPORT_INTERVAL", "")
    milliseconds = int(interval) if interval.isdigit() and int(interval) else _DEFAULT_INTERVAL_MS
    pusher = MetricsPusher(OTLPMetricExporter(), resource(version, environment), version, collect, milliseconds / 1000)
    pusher.start()
    return pusher


class MetricsPusher:
    """Exports all metrics periodically, and a last time at the stop."""

    def __init__(
        self,
        exporter: "MetricExporter",
        about: "Resource",
        version: str,
        collect: Collect,
        seconds: float,
    ) -> None:
        self._exporter = exporter
        self._about = about
        self._version = version
        self._collect = collect
        self._seconds = seconds
        self._started = time.time_ns()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry-metrics", daemon=True)

    def start(self) -> None:
        """Start the export thread."""
        self._thread.start()

    def stop(self) -> None:
        """Export a last time, then stop. Blocks."""
        self._stopping.set()
        self._thread.join()
        self._exporter.shutdown()

    def _run(self) -> None:
        while True:
            ending = self._stopping.wait(self._seconds)
            # The exporter logs failures; nothing is lost, since values are cumulative.
            self._exporter.export(metrics_data(self._collect(), self._about, self._version, self._started))
            if ending:
                return


def metrics_data(
    families: Iterable[PrometheusMetric], about: "Resource", version: str, started_ns: int
) -> "MetricsData":
    """Convert Prometheus' metrics to OpenTelemetry's: counters to sums, histograms with buckets, the rest to gauges.

    Args:
        started_ns: start of the counters, Unix nanoseconds.
    """
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

    now = time.time_ns()
    metrics = [_metric(family, started_ns, now) for family in families]
    scope = ScopeMetrics(scope=InstrumentationScope("event_service", version), metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource=about, scope_metrics=[scope], schema_url="")])


def _metric(family: PrometheusMetric, started: int, now: int) -> "Metric":
    from opentelemetry.sdk.metrics.export import (  # noqa: PLC0415
        AggregationTemporality,
        Gauge,
        Histogram,
        Metric,
        NumberDataPoint,
        Sum,
    )

    data: Gauge | Histogram | Sum
    if family.type == "histogram":
        data = Histogram(_histogram_points(family, started, now), AggregationTemporality.CUMULATIVE)
    else:
        names = {family.name, f"{family.name}_total"}
        points = [
            NumberDataPoint(dict(sample.labels), started, now, sample.value)
            for sample in family.samples
            if sample.name in names
        ]
        is_counter = family.type == "counter"
        data = Sum(points, AggregationTemporality.CUMULATIVE, True) if is_counter else Gauge(points)
    unit = "s" if family.name.endswith("_seconds") else "By" if family.name.endswith("_bytes") else "1"
    return Metric(name=family.name, description=family.documentation, unit=unit, data=data)


def _histogram_points(family: PrometheusMetric, started: int, now: int) -> "list[HistogramDataPoint]":
    """Convert cumulative buckets (Prometheus) to disjoint ones (OpenTelemetry)."""
    from opentelemetry.sdk.metrics.export import HistogramDataPoint  # noqa: PLC0415

    buckets: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in family.samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        if sample.name.endswith("_bucket"):
            buckets.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    points = []
    for labels, found in buckets.items():
        found.sort()
        totals = [total for _, total in found]
        counts = [int(total - before) for total, before in zip(totals, [0.0, *totals], strict=False)]
        points.append(
            HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=started,
                time_unix_nano=now,
                count=int(totals[-1]),
                sum=sums.get(labels, 0.0),
                bucket_counts=counts,
                explicit_bounds=[bound for bound, _ in found if math.isfinite(bound)],
                min=math.inf,
                max=-math.inf,
            )
        )
    return points
