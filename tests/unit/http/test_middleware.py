"""Middleware: request ids, errors as responses, logs without access keys."""

import logging

import pytest

from event_service.errors import (
    EventServiceError,
    FieldViolation,
    InvalidArgument,
    Overloaded,
    QueryTimeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from tests.unit.http.fakes import ACCESS_KEY, PROJECT, WEBHOOK_ID, HttpService

PATH = f"/monitoring/v1/webhook/{WEBHOOK_ID}/{ACCESS_KEY}/events"


async def test_every_response_has_a_request_id() -> None:
    async with HttpService().client() as client:
        for path in ("/healthz", "/nowhere", f"/V1.0/{PROJECT}/events"):
            answer = await client.get(path)
            assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("sent", "kept"), [("0123abcd-EF", True), ("short", False), ("a b c d e f g", False), ("x" * 65, False)]
)
async def test_safe_request_id_of_the_caller_is_kept(sent: str, kept: bool) -> None:
    async with HttpService().client() as client:
        answer = await client.get("/healthz", headers={"X-Request-Id": sent})
    assert (answer.headers["x-request-id"] == sent) is kept


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (InvalidArgument("x"), 400, "ERROR_INVALID_PARAMETER", None),
        (Unauthenticated(), 401, "ERROR_AUTHENTICATE_FAILURE", None),
        (TooLarge("x"), 413, "ERROR_TOO_LARGE", None),
        (QueryTimeout("x"), 422, "ERROR_QUERY_TIMEOUT", None),
        (Overloaded("x", retry_after=0.2), 429, "ERROR_RESOURCE_EXHAUSTED", "1"),
        (Overloaded("x", retry_after=2.5), 429, "ERROR_RESOURCE_EXHAUSTED", "3"),
        (Unavailable(), 503, "ERROR_UNAVAILABLE", "1"),
    ],
)
async def test_errors_become_responses(
    error: EventServiceError, status: int, code: str, retry_after: str | None
) -> None:
    service = HttpService()
    service.events.failure = error
    async with service.client() as client:
        answer = await client.post(PATH, json={"a": 1})
    assert answer.status_code == status
    assert answer.json() == {"detail": {"code": code, "message": error.message}}
    assert answer.headers.get("retry-after") == retry_after


async def test_violations_name_the_fields() -> None:
    service = HttpService()
    service.events.failure = InvalidArgument(
        "two faults", violations=[FieldViolation("a", "x"), FieldViolation("b", "y")]
    )
    async with service.client() as client:
        answer = await client.post(PATH, json={"a": 1})
    assert answer.json()["detail"]["violations"] == [
        {"field": "a", "description": "x"},
        {"field": "b", "description": "y"},
    ]


async def test_unexpected_errors_are_logged_and_not_disclosed(caplog: pytest.LogCaptureFixture) -> None:
    service = HttpService()
    service.events.failure = ValueError("a secret")
    async with service.client() as client:
        answer = await client.post(PATH, json={"a": 1})
    assert answer.status_code == 500
    assert answer.json()["detail"]["code"] == "ERROR_INTERNAL"
    assert answer.headers["x-request-id"] in answer.json()["detail"]["message"]
    assert "secret" not in answer.text
    assert any(record.exc_info and record.request_id == answer.headers["x-request-id"] for record in caplog.records)


async def test_unknown_paths_and_methods_are_refused() -> None:
    async with HttpService().client() as client:
        missing = await client.get("/nowhere")
        wrong_method = await client.delete(PATH)
        cloud_missing = await client.get("/V1.0/p/alarms")
        cloud_slash = await client.post(f"/V1.0/{PROJECT}/events/")
        cloud_method = await client.delete(f"/V1.0/{PROJECT}/events")
    assert (missing.status_code, missing.json()["detail"]["code"]) == (404, "ERROR_NOT_FOUND")
    assert (wrong_method.status_code, wrong_method.json()["detail"]["code"]) == (405, "ERROR_METHOD_NOT_ALLOWED")
    assert wrong_method.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (cloud_missing.status_code, cloud_missing.json()["error_code"]) == (404, "APIGW.0101")
    assert (cloud_slash.status_code, cloud_slash.json()["error_code"]) == (404, "APIGW.0101")
    assert (cloud_method.status_code, cloud_method.json()["error_code"]) == (405, "APIGW.0101")
    assert cloud_method.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"{PATH}%0a", "ERROR_NOT_FOUND"),
        ("/monitoring/v1/event/list%0A", "ERROR_NOT_FOUND"),
        (f"/V1.0/{PROJECT}/events%0a", "APIGW.0101"),
        (f"/V1.0/{PROJECT}%0a/events", "APIGW.0101"),
    ],
)
async def test_paths_with_a_line_feed_are_not_found(path: str, code: str) -> None:
    service = HttpService()
    headers = {"X-Auth-Token": f"{WEBHOOK_ID}:{ACCESS_KEY}"}
    async with service.client() as client:
        answer = await client.post(path, json=[{}], headers=headers)
    assert answer.status_code == 404
    body = answer.json()
    assert (body.get("error_code") or body["detail"]["code"]) == code
    assert not service.events.requests


async def test_access_keys_are_not_logged_or_returned(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service = HttpService()
    wrong = ACCESS_KEY[::-1]
    async with service.client() as client:
        answers = [
            await client.post(PATH, json={"a": 1}),
            await client.post(PATH.replace(ACCESS_KEY, wrong), json={"a": 1}),
            await client.get(PATH),
            await client.get(f"{PATH}/more"),
            await client.post(
                f"/V1.0/{PROJECT}/events", json=[], headers={"X-Auth-Token": f"{WEBHOOK_ID}:{ACCESS_KEY}"}
            ),
        ]
        service.events.failure = ValueError("unexpected")
        answers.append(await client.post(PATH, json={"a": 1}))
    said = "".join(answer.text + str(answer.headers) for answer in answers)
    written = "".join(
        record.getMessage() + str(vars(record)) for record in caplog.records if record.name.startswith("event_service")
    )
    assert "/monitoring/v1/webhook/{webhook_id}/{access_key}/events" in written
    for text in (said, written):
        assert ACCESS_KEY not in text
        assert wrong not in text


async def test_refusals_are_logged_with_caller_and_cause(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "httpx")
    caplog.set_level(logging.INFO, "event_service")
    service = HttpService()
    async with service.client() as client:
        await client.post(PATH, json={"a": 1})
        await client.get("/healthz")
        assert caplog.records == []
        await client.post(PATH, content=b"")
        await client.post("/V1.0/p/alarms", json={})
    refused, missing = (vars(record) for record in caplog.records)
    assert (refused["webhook_id"], refused["status"]) == (WEBHOOK_ID, 400)
    assert refused["error_code"] == "ERROR_REQUIRED_PARAMETER"
    assert "data" in refused["error"]
    assert refused["peer"]
    assert (missing["status"], "webhook_id" in missing) == (404, False)


async def test_responses_are_observed_by_route() -> None:
    service = HttpService()
    async with service.client() as client:
        await client.post(PATH, json={"a": 1})
        await client.get("/nowhere")
    assert service.observed == [
        ("POST", "/monitoring/v1/webhook/{webhook_id}/{access_key}/events", 200),
        ("GET", "(none)", 404),
    ]


async def test_health_and_readiness() -> None:
    service = HttpService()
    async with service.client() as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        service.ready = False
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
