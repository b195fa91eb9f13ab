"""The metrics that Prometheus scrapes from a running service."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.service import Service


def samples(service: Service) -> tuple[str, dict[str, float]]:
    """Return the text, and every sample by its name and labels, `name{label="value"}`."""
    text = httpx.get(f"http://{service.http_address}/metrics", timeout=30).raise_for_status().text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return text, found


def test_metrics_count_a_delivery_without_its_key(service: Service, webhook: tuple[str, str]) -> None:
    _, before = samples(service)
    service.create_event(webhook, {"event_key": "k", "title": "t"})
    path = f"/monitoring/v1/webhook/{webhook[0]}/{webhook[1]}/events"
    httpx.post(f"http://{service.http_address}{path}", json={"event_key": "k", "title": "t"}).raise_for_status()
    text, after = samples(service)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0)

    # Tests that run at the same time may use the same service.
    assert grown('event_service_events_total{outcome="stored"}') >= 2
    assert grown('event_service_rpcs_total{code="OK",method="/spaceone.api.monitoring.v1.Event/create"}') >= 1
    assert grown('event_service_deliveries_total{outcome="stored",parser="native"}') >= 2
    assert grown("event_service_batch_events_count{}") >= 1
    assert after["event_service_database_up{}"] == 1
    assert webhook[0] not in text
    assert webhook[1] not in text
