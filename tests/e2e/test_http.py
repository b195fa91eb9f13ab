"""HTTP of a real process: deliveries, the rpcs as JSON, health, and what must not be found in the log."""

import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import httpx
import pytest

from event_service.identity.issuing import generate_key, issue_token, write_key_pair
from event_service.identity.principal import Role
from tests.e2e.service import Service

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def url(service: Service, webhook: tuple[str, str]) -> str:
    return f"http://{service.http_address}/monitoring/v1/webhook/{webhook[0]}/{webhook[1]}/events"


def post(service: Service, path: str, **body: Any) -> httpx.Response:
    return httpx.post(f"http://{service.http_address}{path}", json=body, timeout=30)


def events_of(service: Service, webhook: tuple[str, str]) -> list[dict[str, Any]]:
    answer = post(service, "/monitoring/v1/event/list", webhook_id=webhook[0])
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


def test_a_delivery_is_an_event(service: Service, webhook: tuple[str, str], url: str) -> None:
    answer = httpx.post(url, json={"event_key": "k", "title": "disk full", "severity": "critical"})
    assert (answer.status_code, answer.json()) == (200, {})
    [row] = events_of(service, webhook)
    assert answer.headers["event-id"] == row["event_id"]
    assert (row["title"], row["severity"], row["webhook_id"]) == ("disk full", "CRITICAL", webhook[0])
    assert row == post(service, "/monitoring/v1/event/get", event_id=row["event_id"]).json()


@pytest.mark.parametrize("body", [b"{not json", b"\xff\xfe", b'{"a": NaN}', b"5", b"[1, 2]"])
def test_unparsable_delivery_is_stored_as_error_event(
    service: Service, webhook: tuple[str, str], url: str, body: bytes
) -> None:
    answer = httpx.post(url, content=body, headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["event-error"]
    rows = events_of(service, webhook)
    assert rows
    assert {row["event_type"] for row in rows} == {"ERROR"}
    assert {row["severity"] for row in rows} == {"CRITICAL"}
    # The first line of text is the title.
    prefix = body.decode() if body.startswith(b"{") else "Webhook Event Parsing Error"
    assert all(row["title"].startswith(prefix) for row in rows)
    assert rows[0]["raw_data"]


@pytest.fixture
def auto(service: Service) -> tuple[str, str]:
    """Return webhook_id and URL of a webhook with the default parser."""
    wanted = {"name": uuid4().hex, "project_id": "project-1", "plugin_info": {"plugin_id": "auto"}}
    made = post(service, "/monitoring/v1/webhook/create", **wanted).json()
    path = f"/monitoring/v1/webhook/{made['webhook_id']}/{made['access_key']}/events"
    return made["webhook_id"], f"http://{service.http_address}{path}"


@pytest.mark.parametrize(
    ("content", "content_type", "titles"),
    [
        ("payload=" + quote_plus('{"title": "Aufzug fällt aus"}'), FORM, ["Aufzug fällt aus"]),
        ("title=Aufzug+f%C3%A4llt+aus&host=lift-2", FORM, ["Aufzug fällt aus"]),
        ('{"title": "A"}\n{"title": "B"}\n', "application/x-ndjson", ["A", "B"]),
        ('{"title": "A",\n "text": "1\n2"}', "application/json", ["A"]),
        ("<?xml version='1.0'?><n><Subject>A &amp; B</Subject></n>", "text/xml", ["A & B"]),
        ("<h1>Backup failed</h1><p>more", "text/html", ["Backup failed"]),
        ("Backup failed\nmore", "text/plain", ["Backup failed"]),
    ],
    ids=["payload", "form", "lines", "line-feed", "xml", "html", "text"],
)
def test_other_bodies_are_events(
    service: Service, auto: tuple[str, str], content: str, content_type: str, titles: list[str]
) -> None:
    answer = httpx.post(auto[1] + "/", content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.headers.get("event-error")) == (200, None)
    rows = events_of(service, auto)
    assert sorted(row["title"] for row in rows) == titles
    assert {row["event_type"] for row in rows} == {"ALERT"}


def test_different_text_is_not_one_error(service: Service, auto: tuple[str, str]) -> None:
    for text in ('{"title": "Disk "/var" full"}', '{"title": "Disk "/srv" full"}', '{"title": "Disk "/var" full"}'):
        assert httpx.post(auto[1], content=text).status_code == 200
    assert len({row["alert_id"] for row in events_of(service, auto)}) == 2


def test_bytes_of_a_cloud_event_come_back_equal(service: Service, auto: tuple[str, str]) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    answer = httpx.post(
        auto[1], content=b"\x00\xff\x01", headers={**headers, "Content-Type": "application/octet-stream"}
    )
    assert answer.status_code == 200
    [row] = events_of(service, auto)
    assert base64.b64decode(row["raw_data"]["data_base64"]) == b"\x00\xff\x01"


def test_pagerduty_client_resolves_by_the_key_of_the_answer(service: Service, auto: tuple[str, str]) -> None:
    page = {"routing_key": "r", "payload": {"summary": "Disk full", "source": "db-1", "severity": "critical"}}
    opened = httpx.post(f"{auto[1]}/v2/enqueue", json={**page, "event_action": "trigger"})
    assert (opened.status_code, opened.json()["status"]) == (202, "success")
    resolve = {"routing_key": "r", "event_action": "resolve", "dedup_key": opened.json()["dedup_key"]}
    assert httpx.post(f"{auto[1]}/v2/enqueue", json=resolve).status_code == 202
    rows = events_of(service, auto)
    assert {row["event_type"] for row in rows} == {"ALERT", "RECOVERY"}
    assert len({row["alert_id"] for row in rows}) == 1


def test_cloud_events_validation_and_get(url: str) -> None:
    answer = httpx.options(url, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
    assert (answer.status_code, answer.headers["WebHook-Allowed-Origin"]) == (200, "eventgrid.azure.net")
    assert httpx.get(url, params={"title": "t"}).status_code == 405


def test_any_payload_comes_back_equal(service: Service, webhook: tuple[str, str], url: str) -> None:
    payload = {"event_key": "k", "": 1, "$where": {"a.b": [None, {"\x00": "\x00"}]}, "_id": "한국어 😀", "t": " x "}
    assert httpx.post(url, json=payload).status_code == 200
    [row] = events_of(service, webhook)
    assert row["raw_data"] == payload


def test_an_idempotency_key(service: Service, webhook: tuple[str, str], url: str) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    payload = {"event_key": "k", "title": "once"}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx.post(url, json=payload, headers=headers), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["event-id"] for answer in answers}) == 1
    assert sum("event-duplicate" not in answer.headers for answer in answers) == 1
    assert len(events_of(service, webhook)) == 1
    other = httpx.post(url, json={**payload, "title": "other"}, headers=headers)
    assert (other.status_code, other.json()["detail"]["code"]) == (409, "ERROR_ALREADY_EXISTS")


def test_an_idempotency_key_of_a_delivery_without_events(service: Service, url: str) -> None:
    headers = {"idempotency-key": "empty"}
    assert httpx.post(url, json={"results": []}, headers=headers).status_code == 200
    assert httpx.post(url, json={"results": []}, headers=headers).headers["event-duplicate"] == "true"
    assert httpx.post(url, json={"event_key": "k"}, headers=headers).status_code == 409


def test_refusals(service: Service, webhook: tuple[str, str], url: str) -> None:
    unknown = httpx.post(url.replace(webhook[0], "webhook-000000000000"), json={"event_key": "k"})
    wrong = httpx.post(url.replace(webhook[1], "0" * 64), json={"event_key": "k"})
    empty = httpx.post(url, json={})
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    too_deep = httpx.post(url, json={"event_key": "k", "deep": deep})
    too_large = httpx.post(url, content=b'"' + b"x" * (16 * 1024 * 1024) + b'"', timeout=30)
    too_large_event = httpx.post(url, json={"event_key": "k", "x": "x" * (4 * 1024 * 1024)}, timeout=30)
    answers = [unknown, wrong, empty, too_deep, too_large, too_large_event]
    assert [(answer.status_code, answer.json()["detail"]["code"]) for answer in answers] == [
        (404, "ERROR_NOT_FOUND"),
        (403, "ERROR_PERMISSION_DENIED"),
        (400, "ERROR_REQUIRED_PARAMETER"),
        (400, "ERROR_INVALID_PARAMETER"),
        (413, "ERROR_TOO_LARGE"),
        (413, "ERROR_TOO_LARGE"),
    ]
    assert events_of(service, webhook) == []


def test_list_get_and_stat(service: Service, webhook: tuple[str, str], url: str) -> None:
    for index in range(3):
        httpx.post(url, json={"event_key": f"k{index}", "severity": "ERROR" if index else "INFO"})
    query = {
        "filter": [{"k": "severity", "v": "ERROR", "o": "eq"}],
        "only": ["event_key"],
        "sort": [{"key": "event_key"}],
    }
    rows = post(service, "/monitoring/v1/event/list", webhook_id=webhook[0], query=query).json()
    assert rows == {"results": [{"event_key": "k1"}, {"event_key": "k2"}], "total_count": 2}
    nothing = post(service, "/monitoring/v1/event/list", webhook_id=webhook[0], event_key="none").json()
    assert nothing == {"results": [], "total_count": 0}
    statistics = {
        "filter": [{"k": "webhook_id", "v": webhook[0], "o": "eq"}],
        "aggregate": [
            {"group": {"keys": [{"k": "severity", "n": "severity"}], "fields": [{"n": "count", "o": "count"}]}},
            {"sort": [{"key": "severity"}]},
        ],
    }
    answer = post(service, "/monitoring/v1/event/stat", query=statistics).json()
    assert answer == {"results": [{"severity": "ERROR", "count": 2}, {"severity": "INFO", "count": 1}]}


def test_faults_of_a_query_name_the_field(service: Service) -> None:
    answer = post(
        service, "/monitoring/v1/event/list", query={"filter": [{"k": "created_at", "v": "soon", "o": "datetime_gt"}]}
    )
    assert answer.status_code == 400
    assert answer.json()["detail"]["violations"][0]["field"].startswith("query.filter[0]")
    unknown = post(service, "/monitoring/v1/event/list", query={"filters": []})
    assert unknown.json()["detail"]["violations"] == [{"field": "query.filters", "description": "is an unknown field"}]


def test_a_webhook_from_birth_to_death(service: Service) -> None:
    path = "/monitoring/v1/webhook"
    plugin = {"plugin_id": "native"}
    made = post(service, f"{path}/create", name="over http", project_id="p", plugin_info=plugin)
    assert made.status_code == 200, made.text
    webhook_id, url = made.json()["webhook_id"], made.json()["webhook_url"]
    assert httpx.post(url, json={"event_key": "k"}).status_code == 200
    assert post(service, f"{path}/disable", webhook_id=webhook_id).json()["state"] == "DISABLED"
    shown = post(service, f"{path}/get", webhook_id=webhook_id).json()
    assert made.json()["access_key"] not in json.dumps(shown)
    assert post(service, f"{path}/delete", webhook_id=webhook_id).json() == {}
    assert post(service, f"{path}/get", webhook_id=webhook_id).status_code == 404


def test_health_and_the_openapi_document(service: Service) -> None:
    base = f"http://{service.http_address}"
    assert httpx.get(f"{base}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{base}/readyz").json()["status"] == "ready"
    document = httpx.get(f"{base}/openapi.json").json()
    assert "/event_service/v1/webhooks/rotate-key" in document["paths"]
    assert "/monitoring/v1/webhook/update-plugin" in document["paths"]


def test_with_authentication_a_token_says_who_reads(
    make_service: Callable[..., Service], own_database: dict[str, str], tmp_path: Path
) -> None:
    key, jwks = generate_key(), tmp_path / "jwks.json"
    write_key_pair(key, tmp_path / "private.json", jwks)
    service = make_service(EVENT_SERVICE_AUTH="jwt", EVENT_SERVICE_JWKS_FILE=str(jwks), **own_database).start()
    base = f"http://{service.http_address}"

    def bearer(workspace_id: str) -> dict[str, str]:
        token = issue_token(key, Role.WORKSPACE_OWNER, domain_id="domain-1", workspace_id=workspace_id, expires_in=600)
        return {"Authorization": f"Bearer {token}"}

    ours, theirs = bearer("workspace-1"), bearer("workspace-2")
    plugin = {"plugin_id": "cloud-eye", "options": {"project_id": "0a1b2c"}}
    made = httpx.post(
        f"{base}/monitoring/v1/webhook/create",
        json={"name": "cloud eye", "project_id": "p", "plugin_info": plugin},
        headers=ours,
    )
    assert made.status_code == 200, made.text

    item = {"event_name": "a", "event_source": "abc.def", "time": int(time.time() * 1000), "detail": {}}
    reports = f"{base}/V1.0/0a1b2c/events"
    assert httpx.post(reports, json=[item], headers=ours).status_code == 201
    refused = httpx.post(reports, json=[item], headers=theirs)
    assert (refused.status_code, refused.json()["error_code"]) == (403, "ces.0017")
    assert httpx.get(reports, headers=ours).json()["meta_data"] == {"total": 1}
    assert httpx.get(reports, headers=theirs).json()["meta_data"] == {"total": 0}

    listing = f"{base}/monitoring/v1/event/list"
    assert httpx.post(listing, headers=ours).json()["total_count"] == 1
    assert httpx.post(listing, headers=theirs).json()["total_count"] == 0
    for headers in ({}, {"Authorization": "Bearer x"}):
        answer = httpx.post(listing, headers=headers)
        assert (answer.status_code, answer.json()["detail"]["code"]) == (401, "ERROR_AUTHENTICATE_FAILURE")
        assert httpx.get(reports, headers=headers).status_code == 401


def test_keys_are_not_in_the_log(service: Service, webhook: tuple[str, str], url: str) -> None:
    httpx.post(url, json={"event_key": "k"})
    httpx.post(url, content=b"not json")
    httpx.get(url)
    httpx.post(f"{url}/more")
    httpx.post(url.replace(webhook[0], "webhook-000000000000"), json={"event_key": "k"})
    assert webhook[1] not in service.log
    assert "POST /monitoring/v1/webhook/{webhook_id}/" in service.log
