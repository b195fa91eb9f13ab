"""Tenants that take all they can get: the other tenants are served as before."""

import pytest

from tests.chaos import attacks
from tests.chaos.conftest import MakeService
from tests.chaos.healthy import Bounds, Neighbour, attacked
from tests.chaos.scale import scaled
from tests.e2e.service import Service
from tests.e2e.trust.realm import AUDIENCE, Realm

EVENTS, EVENTS_PER_DELIVERY = scaled((400, 400), (42_000, 8_400))
OK, RESOURCE_EXHAUSTED = "0", "8"
EXPECTED = {
    "slow_queries": {OK, RESOURCE_EXHAUSTED},
    "unread_exports": {"opened"},
    "many_watches": {"opened"},
}
BOUNDS = {"large_deliveries": Bounds(memory=512 * attacks.MIB)}


@pytest.fixture
def realm(tmp_path_factory: pytest.TempPathFactory) -> Realm:
    return Realm(tmp_path_factory.mktemp("realm") / "jwks.json")


@pytest.fixture
def service(make_service: MakeService, realm: Realm) -> Service:
    return make_service(
        EVENT_SERVICE_AUTH="jwt",
        EVENT_SERVICE_JWKS_FILE=str(realm.jwks),
        EVENT_SERVICE_TOKEN_AUDIENCE=AUDIENCE,
    ).start()


def webhook_of(service: Service, token: str, plugin: str) -> tuple[str, str]:
    request = {"name": plugin, "project_id": "project-1", "plugin_info": {"plugin_id": plugin}}
    made = service.call("Webhook", "create", request, token=token)
    return made["webhook_id"], made["access_key"]


@pytest.mark.timeout(scaled(180, 1200))
async def test_other_tenants_are_served_beside_a_hog(service: Service, realm: Realm) -> None:
    tokens = [realm.token("WORKSPACE_OWNER", did=domain) for domain in ("domain-1", "domain-2")]
    hog = webhook_of(service, tokens[0], "alertmanager")
    for first in range(0, EVENTS, EVENTS_PER_DELIVERY):
        alerts = [
            {"status": "firing", "labels": {"alertname": f"alert-{number}"}, "annotations": {"summary": "x" * 1200}}
            for number in range(first, first + EVENTS_PER_DELIVERY)
        ]
        service.create_event(hog, {"version": "4", "status": "firing", "groupKey": "{}", "alerts": alerts})
    faults = await attacked(
        service,
        dict.fromkeys(attacks.HOGS, hog),
        seconds=scaled(1.5, 10.0),
        expected=EXPECTED,
        bounds=BOUNDS,
        neighbour=Neighbour(tokens[1], webhook_of(service, tokens[1], "native"), tokens[0]),
    )
    assert faults == []
    assert service.stop() == 0
