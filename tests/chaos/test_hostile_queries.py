"""Callers who may read, with queries that are too large: other clients are served as before."""

import pytest

from tests.chaos import attacks
from tests.chaos.conftest import MakeService
from tests.chaos.healthy import attacked
from tests.chaos.scale import scaled
from tests.e2e.service import Service

EVENTS, EVENTS_PER_DELIVERY = scaled((400, 400), (42_000, 8_400))
MAX_REPLY_BYTES = scaled(400_000, 4 * 1024 * 1024)

OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED = "0", "3", "8"
EXPECTED = {
    "large_stat": {RESOURCE_EXHAUSTED},
    "three_large_stats": {RESOURCE_EXHAUSTED},
    "large_filter": {OK, RESOURCE_EXHAUSTED},
    "large_only": {OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED},
}


@pytest.fixture
def service(make_service: MakeService) -> Service:
    """A service with events of 1.4 KB, more than fit into a reply; started anew: storing them took memory."""
    service = make_service(EVENT_SERVICE_MAX_REPLY_BYTES=str(MAX_REPLY_BYTES)).start()
    plugin = {"plugin_id": "alertmanager"}
    made = service.call("Webhook", "create", {"name": "many", "project_id": "project-1", "plugin_info": plugin})
    for first in range(0, EVENTS, EVENTS_PER_DELIVERY):
        alerts = [
            {"status": "firing", "labels": {"alertname": f"alert-{number}"}, "annotations": {"summary": "x" * 1200}}
            for number in range(first, first + EVENTS_PER_DELIVERY)
        ]
        service.create_event(
            (made["webhook_id"], made["access_key"]),
            {"version": "4", "status": "firing", "groupKey": "{}", "alerts": alerts},
        )
    assert service.stop() == 0
    return service.start()


@pytest.mark.timeout(scaled(180, 1200))
async def test_healthy_client_is_served_during_large_queries(service: Service) -> None:
    targets = dict.fromkeys(attacks.QUERIES, service.create_webhook("attacked"))
    faults = await attacked(service, targets, seconds=scaled(0.3, 10.0), expected=EXPECTED)
    assert faults == []
    assert service.stop() == 0
    assert "Traceback" not in service.log, service.log[-3000:]
