"""The origin check without authentication: refused are web pages of other sites, except with an access key."""

import json
from typing import Any

import httpx
import pytest

from event_service.identity.authenticator import NoAuthentication
from tests.unit.configured import configured
from tests.unit.http.fakes import ACCESS_KEY, PROJECT, WEBHOOK_ID, HttpService, cloud_eye_item

LIST = "/monitoring/v1/event/list"
CLOUD_EYE = f"/V1.0/{PROJECT}/events"
DELIVERY = f"/monitoring/v1/webhook/{WEBHOOK_ID}/{ACCESS_KEY}/events"
HERE = "127.0.0.1:8080"


def without_authentication(**settings: Any) -> HttpService:
    return HttpService(settings=configured(**settings), authenticator=NoAuthentication("domain-1", "workspace-1"))


async def lists(service: HttpService, **headers: str) -> httpx.Response:
    async with service.client() as client:
        return await client.post(LIST, json={}, headers=headers)


@pytest.mark.parametrize(
    ("host", "origin", "public_url"),
    [
        (HERE, None, ""),
        (HERE, f"http://{HERE}", ""),
        ("localhost:8080", "http://localhost:8080", ""),
        ("events.localhost", "https://events.localhost", ""),
        ("[::1]:8080", "http://[::1]:8080", ""),
        ("10.0.0.7", None, ""),
        ("events.example", None, "https://events.example/"),
        ("events.example", "https://events.example", "https://events.example"),
        (HERE, "https://events.example", "https://events.example"),
        ("Events.Example", "https://events.example", "https://events.example"),
    ],
)
async def test_local_and_public_origins_are_accepted(host: str, origin: str | None, public_url: str) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    assert (await lists(without_authentication(public_url=public_url), **headers)).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "public_url"),
    [
        ("rebound.example:8080", None, ""),
        ("rebound.example:8080", "http://rebound.example:8080", ""),
        ("rebound.example", None, "https://events.example"),
        ("localhost.example", None, ""),
        ("127.0.0.1.example", None, ""),
        ("re_bound.example", None, ""),
        ("rebound.example:99999", None, ""),
        ("[", None, ""),
        ("", None, ""),
        (HERE, "https://evil.example", ""),
        (HERE, "http://127.0.0.1:3000", ""),
        (HERE, "http://localhost:8080", ""),
        (HERE, "null", ""),
        (HERE, "", ""),
        (HERE, f"http://{HERE}@evil.example", ""),
        (HERE, "https://evil.example", "https://events.example"),
    ],
)
async def test_foreign_origins_are_refused(host: str, origin: str | None, public_url: str) -> None:
    headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
    answer = await lists(without_authentication(public_url=public_url), **headers)
    assert (answer.status_code, answer.json()["detail"]["code"]) == (403, "ERROR_PERMISSION_DENIED")
    assert "EVENT_SERVICE_PUBLIC_URL" in answer.json()["detail"]["message"]


@pytest.mark.parametrize("settings", [{"auth": "jwt"}, {"http_address": "0.0.0.0:8080", "insecure": True}])
async def test_origin_is_not_checked_with_tokens_or_beyond_loopback(settings: dict[str, Any]) -> None:
    answer = await lists(without_authentication(**settings), Host="events.example", Origin="https://pages.example")
    assert answer.status_code == 200


async def test_cloud_eye_tokens_do_not_bypass_the_origin_check_without_authentication() -> None:
    rebound = {"Host": "rebound.example:8080"}
    async with without_authentication().client() as client:
        for headers in ({"X-Auth-Token": "anything"}, {"Authorization": "Bearer anything"}):
            assert (await client.get(CLOUD_EYE, headers=headers)).status_code == 200
            refused = await client.get(CLOUD_EYE, headers=headers | rebound)
            assert (refused.status_code, refused.json()["error_code"]) == (403, "ces.0017")


async def test_origin_is_not_checked_with_an_access_key() -> None:
    headers = {"Host": "host.docker.internal:8080", "Origin": "https://pages.example"}
    key = {"X-Auth-Token": f"{WEBHOOK_ID}:{ACCESS_KEY}"}
    async with without_authentication().client() as client:
        assert (await client.post(DELIVERY, json={"a": 1}, headers=headers)).status_code == 200
        reported = await client.post(CLOUD_EYE, content=json.dumps([cloud_eye_item()]), headers=headers | key)
        assert reported.status_code == 201
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert (await client.get(path, headers=headers)).status_code == 200
