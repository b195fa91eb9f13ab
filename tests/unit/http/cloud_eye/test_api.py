"""The Cloud Eye API: authentication, responses, stored events."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from event_service.errors import InvalidArgument, Overloaded, Unavailable
from event_service.http.cloud_eye.events import milliseconds_of, moment_of, new_event_id, occurrence
from event_service.model.event import EventDraft, EventType, Severity
from event_service.model.scope import Scope
from event_service.model.webhook import WebhookState
from tests.unit.configured import configured
from tests.unit.http.cloud_eye.client import SignedClient
from tests.unit.http.fakes import ACCESS_KEY, NOW, PROJECT, TOKEN, WEBHOOK_ID, HttpService, cloud_eye_item, make_webhook

PATH = f"/V1.0/{PROJECT}/events"
EVENT_ID = re.compile(r"ev[0-9]{13}[0-9A-Za-z]{9}")


def written(*items: Any) -> bytes:
    return json.dumps(items).encode()


def drafts(service: HttpService) -> list[EventDraft]:
    return [draft for _, draft in service.events.stored.values()]


async def test_ids_are_returned_in_order() -> None:
    service = HttpService()
    async with SignedClient(service) as client:
        answer = await client.post(written(cloud_eye_item(event_name="b"), cloud_eye_item(event_name="a")))
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert [entry["event_name"] for entry in answer.json()] == ["b", "a"]
    ids = [entry["event_id"] for entry in answer.json()]
    assert len(set(ids)) == 2
    assert all(EVENT_ID.fullmatch(event_id) and moment_of(int(event_id[2:15])) == NOW for event_id in ids)
    assert [draft.additional_info["ces_event_id"] for draft in drafts(service)] == ids
    assert service.webhooks.counted == [False]


def test_event_ids_are_unique() -> None:
    ids = {new_event_id(NOW) for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(EVENT_ID.fullmatch(event_id) for event_id in ids)


async def test_hundred_events_are_stored_in_one_batch() -> None:
    service = HttpService()
    items = [cloud_eye_item(time=milliseconds_of(NOW) - index) for index in range(100)]
    async with SignedClient(service) as client:
        answer = await client.post(written(*items))
    assert len({entry["event_id"] for entry in answer.json()}) == 100
    assert service.events.batches == 1


async def test_repeated_event_keeps_its_id() -> None:
    service = HttpService()
    async with SignedClient(service) as client:
        first = await client.post(written(cloud_eye_item()))
        service.now += timedelta(seconds=5)
        again = await client.post(written(cloud_eye_item(), cloud_eye_item(event_name="other"), cloud_eye_item()))
    [old] = first.json()
    assert [again.json()[0], again.json()[2]] == [old, old]
    assert again.json()[1]["event_id"] != old["event_id"]
    assert len(service.events.stored) == 2


async def test_unreadable_duplicate_is_answered_503() -> None:
    service = HttpService()
    async with SignedClient(service) as client:
        await client.post(written(cloud_eye_item()))
        for draft in drafts(service):
            del draft.additional_info["ces_event_id"]
        answer = await client.post(written(cloud_eye_item()))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


SAME: list[dict[str, Any]] = [
    {"content": "other"},
    {"group_id": "g"},
    {"dimensions": [{"name": "a", "value": "b"}]},
    {"event_type": "EVENT.CUSTOM"},
    {"sub_event_type": "SUB_EVENT.CUSTOM"},
    {"event_user": None},
    {"event_user": ""},
    {"unknown": 1},
]
OTHER: list[dict[str, Any]] = [
    {"event_state": "incident"},
    {"event_level": "Minor"},
    {"event_user": "u"},
    {"resource_id": "r"},
    {"resource_name": "other"},
]


@pytest.mark.parametrize("fields", SAME)
def test_identity_ignores_other_fields(fields: dict[str, Any]) -> None:
    item = cloud_eye_item()
    assert occurrence({**item, "detail": {**item["detail"], **fields}}, PROJECT) == occurrence(item, PROJECT)


@pytest.mark.parametrize("fields", OTHER)
def test_identity_covers_identifying_fields(fields: dict[str, Any]) -> None:
    item = cloud_eye_item()
    identity = occurrence(item, PROJECT)
    assert occurrence({**item, "detail": {**item["detail"], **fields}}, PROJECT) != identity
    assert occurrence(item, "other") != identity
    assert occurrence(cloud_eye_item(time=item["time"] + 1), PROJECT) != identity
    assert occurrence(cloud_eye_item(event_source="abc.def"), PROJECT) != identity


# --- stored events ---------------------------------------------------------------------------------------------------


async def report(**detail: Any) -> EventDraft:
    service = HttpService()
    async with SignedClient(service) as client:
        answer = await client.post(written(cloud_eye_item(detail=detail)))
    assert answer.status_code == 201, answer.text
    [draft] = drafts(service)
    return draft


async def test_all_fields_are_stored() -> None:
    dimensions = [{"name": "disk", "value": "sdb"}, {"name": "az", "value": "1"}]
    detail = {
        "content": " text ",
        "group_id": "rg15221211517051YWWkEnVd",
        "resource_id": "id:1",
        "resource_name": "ecs001",
        "event_state": "incident",
        "event_level": "Major",
        "event_user": "xiaokong",
        "event_type": "EVENT.CUSTOM",
        "dimensions": dimensions,
        "more": 1,
    }
    draft = await report(**detail)
    assert draft.title == "systemInvaded on ecs001"
    assert draft.description == "text"
    assert draft.rule == "financial.System/systemInvaded"
    assert draft.resources == ["id:1"]
    assert (draft.provider, draft.account) == ("huaweicloud", PROJECT)
    assert draft.occurred_at == moment_of(cloud_eye_item()["time"])
    assert draft.raw_data == cloud_eye_item(detail=detail)
    assert draft.event_type is EventType.ALERT
    assert draft.always_store
    assert len(draft.event_key) == 32
    info = draft.additional_info
    assert EVENT_ID.fullmatch(info.pop("ces_event_id"))
    assert info == {
        "event_name": "systemInvaded",
        "event_source": "financial.System",
        "event_state": "incident",
        "event_level": "Major",
        "event_user": "xiaokong",
        "event_type": "EVENT.CUSTOM",
        "sub_event_type": "SUB_EVENT.CUSTOM",
        "group_id": "rg15221211517051YWWkEnVd",
        "resource_id": "id:1",
        "resource_name": "ecs001",
        "dimensions": {"disk": "sdb", "az": "1"},
    }


async def test_optional_fields_have_defaults() -> None:
    draft = await report()
    assert (draft.title, draft.description, draft.resources) == ("systemInvaded", "", [])
    assert draft.severity is Severity.NONE
    assert (draft.marks_trouble, draft.recovers_if_troubled) == (False, False)


@pytest.mark.parametrize(
    ("detail", "severity"),
    [
        ({"event_level": "Critical"}, Severity.CRITICAL),
        ({"event_level": "Major", "event_state": "normal"}, Severity.ERROR),
        ({"event_level": "Minor"}, Severity.WARNING),
        ({"event_level": "Info", "event_state": "incident"}, Severity.INFO),
        ({"event_state": "incident"}, Severity.ERROR),
        ({"event_state": "warning"}, Severity.WARNING),
        ({"event_state": "normal"}, Severity.INFO),
    ],
)
async def test_severity_follows_level_and_state(detail: dict[str, str], severity: Severity) -> None:
    assert (await report(**detail)).severity is severity


@pytest.mark.parametrize(
    ("state", "marks_trouble", "recovers"),
    [("normal", False, True), ("warning", True, False), ("incident", True, False)],
)
async def test_normal_recovers_only_a_firing_alert(state: str, marks_trouble: bool, recovers: bool) -> None:
    draft = await report(event_state=state)
    assert draft.event_type is EventType.ALERT
    assert (draft.marks_trouble, draft.recovers_if_troubled) == (marks_trouble, recovers)


async def test_event_key_identifies_the_alert_condition() -> None:
    key = (await report(resource_id="r", event_state="warning", event_level="Major", content="a")).event_key
    assert (await report(resource_id="r", event_state="normal", event_user="u", content="b")).event_key == key
    assert (await report(resource_name="r")).event_key == key
    assert (await report(resource_id="s")).event_key != key
    two = [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]
    with_dimensions = (await report(resource_id="r", dimensions=two)).event_key
    assert with_dimensions != key
    assert (await report(resource_id="r", dimensions=two[::-1])).event_key == with_dimensions


# --- authentication ---------------------------------------------------------------------------------------------------


async def refused(status: int, code: str, service: HttpService | None = None, **headers: str) -> dict[str, Any]:
    service = service or HttpService()
    async with service.client() as client:
        answer = await client.post(PATH, json=[cloud_eye_item()], headers={"X-Sdk-Date": "20260301T120000Z", **headers})
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["error_code"]) == (status, code), body
    assert body["request_id"] == answer.headers["x-request-id"]
    assert not service.events.stored
    return body


async def test_missing_or_invalid_credentials_are_refused() -> None:
    await refused(401, "ces.0015")
    await refused(401, "ces.0015", Authorization="Basic abc")
    await refused(401, "ces.0015", Authorization="Bearer bad")
    await refused(401, "ces.0015", **{"X-Auth-Token": "bad"})
    await refused(401, "ces.0015", **{"X-Auth-Token": f"{WEBHOOK_ID}:bad"})
    await refused(401, "ces.0015", **{"X-Auth-Token": f"webhook-x:{ACCESS_KEY}"})
    await refused(401, "APIGW.0301", Authorization="SDK-HMAC-SHA256 nonsense")
    await refused(401, "APIGW.0301", Authorization="SDK-HMAC-SM3 Access=a, SignedHeaders=x-sdk-date, Signature=00")


async def test_unknown_access_key_id_and_wrong_secret_are_refused() -> None:
    service = HttpService()
    async with SignedClient(service, access_key_id="webhook-x") as client:
        unknown = await client.post(written(cloud_eye_item()))
    async with SignedClient(service, secret_key="wrong") as client:
        wrong = await client.post(written(cloud_eye_item()))
    assert (unknown.status_code, unknown.json()["error_code"]) == (401, "APIGW.0301")
    assert "Get secretKey failed" in unknown.json()["error_msg"]
    assert (wrong.status_code, wrong.json()["error_code"]) == (401, "APIGW.0301")
    assert "verify aksk signature fail" in wrong.json()["error_msg"]
    assert not service.events.stored


async def test_changed_body_is_refused() -> None:
    service = HttpService()
    body = written(cloud_eye_item())
    async with SignedClient(service) as client:
        answer = await client.post(body, sent_body=body.replace(b"Major", b"Minor"))
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")


@pytest.mark.parametrize(("seconds", "status"), [(-901, 401), (-899, 201), (899, 201), (901, 401)])
async def test_clock_skew_beyond_15_minutes_is_refused(seconds: int, status: int) -> None:
    service = HttpService()
    async with SignedClient(service) as client:
        skewed = (NOW.replace(microsecond=0) + timedelta(seconds=seconds)).strftime("%Y%m%dT%H%M%SZ")
        answer = await client.post(written(cloud_eye_item()), headers={"X-Sdk-Date": skewed})
    assert answer.status_code == status


async def test_access_key_in_x_auth_token_is_accepted() -> None:
    service = HttpService()
    async with service.client() as client:
        answer = await client.post(
            PATH, json=[cloud_eye_item()], headers={"X-Auth-Token": f"{WEBHOOK_ID}:{ACCESS_KEY}"}
        )
    assert answer.status_code == 201


async def test_token_takes_precedence_over_signature() -> None:
    service = HttpService()
    async with SignedClient(service, secret_key="anything", access_key_id="anything") as client:
        good = await client.post(written(cloud_eye_item()), headers={"X-Auth-Token": f"{WEBHOOK_ID}:{ACCESS_KEY}"})
        bad = await client.post(written(cloud_eye_item()), headers={"X-Auth-Token": "bad"})
    assert (good.status_code, bad.status_code) == (201, 401)


@pytest.mark.parametrize("headers", [{"Authorization": f"Bearer {TOKEN}"}, {"X-Auth-Token": TOKEN}])
async def test_jwt_reports_to_the_webhook_of_the_project(headers: dict[str, str]) -> None:
    service = HttpService()
    async with service.client() as client:
        answer = await client.post(PATH, json=[cloud_eye_item()], headers=headers)
        other = await client.post("/V1.0/other/events", json=[cloud_eye_item()], headers=headers)
    assert answer.status_code == 201
    assert service.webhooks.asked_scope == Scope("domain-1", "workspace-1")
    assert (other.status_code, other.json()["error_code"]) == (403, "ces.0017")


async def test_other_projects_are_refused() -> None:
    service = HttpService()
    async with SignedClient(service) as client:
        answer = await client.post(written(cloud_eye_item()), project_id="other")
        read = await client.get("/V1.0/other/events")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "ces.0017")
    assert (read.status_code, read.json()["error_code"]) == (403, "ces.0017")


async def test_project_defaults_to_the_webhook_s_project() -> None:
    service = HttpService()
    service.webhooks.webhook = make_webhook(project_id="")
    async with SignedClient(service) as client:
        assert (await client.post(written(cloud_eye_item()), project_id="project-1")).status_code == 201
        assert (await client.post(written(cloud_eye_item()))).status_code == 403


async def test_disabled_webhook_is_refused() -> None:
    service = HttpService()
    service.webhooks.webhook.state = WebhookState.DISABLED
    async with SignedClient(service) as client:
        signed = await client.post(written(cloud_eye_item()))
    assert (signed.status_code, signed.json()["error_code"]) == (403, "ces.0017")
    await refused(403, "ces.0017", service, **{"X-Auth-Token": f"{WEBHOOK_ID}:{ACCESS_KEY}"})
    await refused(403, "ces.0017", service, Authorization=f"Bearer {TOKEN}")


async def test_webhook_of_another_plugin_is_refused() -> None:
    service = HttpService()
    service.webhooks.webhook = make_webhook("alertmanager")
    await refused(403, "ces.0017", service, **{"X-Auth-Token": f"{WEBHOOK_ID}:{ACCESS_KEY}"})


@pytest.mark.parametrize("project_id", ["{project_id}", "", "a/b", "x" * 65, "a_b"])
async def test_invalid_project_ids_are_refused(project_id: str) -> None:
    service = HttpService()
    async with SignedClient(service) as client:
        answer = await client.post(written(cloud_eye_item()), project_id=project_id)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "ces.0003")


# --- errors --------------------------------------------------------------------------------------------------


async def test_all_faults_are_reported_and_nothing_is_stored() -> None:
    service = HttpService()
    async with SignedClient(service) as client:
        answer = await client.post(written(cloud_eye_item(), cloud_eye_item(event_name="1"), {}))
    body = answer.json()
    assert answer.status_code == 400
    assert body["error_msg"].startswith("[1].event_name must be")
    assert [detail["error_msg"].split()[0] for detail in body["details"]] == [
        "[1].event_name",
        "[2].event_name",
        "[2].event_source",
        "[2].time",
        "[2].detail",
    ]
    assert not service.events.stored
    assert service.webhooks.counted == [True]


@pytest.mark.parametrize(("size", "status"), [(5000, 201), (5001, 413)])
async def test_bodies_beyond_the_size_limit_are_refused(size: int, status: int) -> None:
    service = HttpService(settings=configured(cloud_eye_max_body_bytes=5000))
    body = written(cloud_eye_item())
    async with SignedClient(service) as client:
        answer = await client.post(body + b" " * (size - len(body)))
    assert answer.status_code == status
    if status == 413:
        assert answer.json()["error_code"] == "APIGW.0201"


async def test_size_is_checked_before_credentials() -> None:
    service = HttpService(settings=configured(cloud_eye_max_body_bytes=1024))
    async with service.client() as client:
        answer = await client.post(PATH, content=b" " * 1025)
    assert answer.status_code == 413


async def test_hundred_events_of_full_length_fit() -> None:
    service = HttpService()
    detail = {"content": "中" * 4096}
    items = [cloud_eye_item(time=milliseconds_of(NOW) - index, detail=detail) for index in range(100)]
    async with SignedClient(service) as client:
        escaped = await client.post(written(*items))
    assert escaped.status_code == 201
    assert len(service.events.stored) == 100


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Unavailable(), 503, "APIGW.0613"),
        (Overloaded("x", retry_after=1), 429, "APIGW.0308"),
        (InvalidArgument.at("raw_data", "is nested too deeply"), 400, "ces.0014"),
        (ValueError("unexpected"), 500, "ces.0007"),
    ],
)
async def test_store_errors_become_cloud_eye_errors(failure: Exception, status: int, code: str) -> None:
    service = HttpService()
    service.events.failure = failure
    async with SignedClient(service) as client:
        answer = await client.post(written(cloud_eye_item()))
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert "unexpected" not in answer.text
    assert ("retry-after" in answer.headers) == (status in (429, 503))


async def test_slow_body_is_answered_408() -> None:
    service = HttpService(settings=configured(http_body_seconds=0.05))

    async def body() -> Any:
        yield b"["
        await asyncio.sleep(5)

    async with service.client() as client:
        headers = {"X-Auth-Token": f"{WEBHOOK_ID}:{ACCESS_KEY}"}
        answer = await client.post(PATH, content=body(), headers=headers)
    assert answer.status_code == 408
    assert answer.headers["connection"] == "close"
    assert answer.json()["error_msg"]


# --- reading -----------------------------------------------------------------------------------------------------


async def test_list_reads_within_the_webhook_s_scope() -> None:
    service = HttpService()
    service.events.stat_results = [
        [
            {"event_name": "a", "event_count": 2, "occurred_at": "2026-03-01T11:00:00.000Z", "event_source": "abc.def"},
            {"event_name": "b", "event_count": 1, "occurred_at": "2026-03-01T11:30:00.001Z", "event_source": "abc.x"},
        ]
    ]
    async with SignedClient(service) as client:
        answer = await client.get(f"/V1.0/{PROJECT}/events", [("start", "0"), ("limit", 1)])
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "events": [
            {
                "event_name": "b",
                "event_type": "EVENT.CUSTOM",
                "sub_event_type": "SUB_EVENT.CUSTOM",
                "event_count": 1,
                "latest_occur_time": 1772364600001,
                "latest_event_source": "abc.x",
            }
        ],
        "meta_data": {"total": 2},
    }
    assert service.events.scopes == [Scope("domain-1", "workspace-1", ("project-1",))]
    [query] = service.events.stat_queries
    assert {"key": "account", "value": PROJECT, "operator": "eq"} in query["filter"]
    assert {"key": "occurred_at", "value": "2026-02-28T12:00:00.123Z", "operator": "gte"} in query["filter"]
    assert {"key": "occurred_at", "value": "2026-03-01T12:10:00.123Z", "operator": "lte"} in query["filter"]


async def test_detail_lists_the_events_of_one_name() -> None:
    service = HttpService()
    service.events.stat_results = [["u1", "u2"], ["financial.System"]]
    detail = {"content": "c", "event_user": "u1", "dimensions": [{"name": "a", "value": "b"}], "unknown": 1}
    async with SignedClient(service) as client:
        reported = await client.post(written(cloud_eye_item(detail=detail)))
        query = [("event_user", "u 1"), ("event_level", "Major"), ("start", "5"), ("limit", "10"), ("from", "1")]
        answer = await client.get(f"/V1.0/{PROJECT}/event/systemInvaded", query)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "event_name": "systemInvaded",
        "event_type": "EVENT.CUSTOM",
        "sub_event_type": "SUB_EVENT.CUSTOM",
        "event_users": ["u1", "u2"],
        "event_sources": ["financial.System"],
        "event_info": [
            {
                "event_id": reported.json()[0]["event_id"],
                "event_name": "systemInvaded",
                "event_source": "financial.System",
                "time": cloud_eye_item()["time"],
                "detail": {
                    "event_type": "EVENT.CUSTOM",
                    "sub_event_type": "SUB_EVENT.CUSTOM",
                    "content": "c",
                    "event_user": "u1",
                    "dimensions": [{"name": "a", "value": "b"}],
                },
            }
        ],
        "meta_data": {"total": 1},
    }
    listed = service.events.queries[0]
    assert listed["page"] == {"start": 6, "limit": 10}
    assert {"key": "additional_info.event_user", "value": "u 1", "operator": "eq"} in listed["filter"]
    assert {"key": "additional_info.event_level", "value": "Major", "operator": "eq"} in listed["filter"]
    assert {"key": "occurred_at", "value": "1970-01-01T00:00:00.001Z", "operator": "gte"} in listed["filter"]


async def test_jwt_reads_within_its_scope() -> None:
    service = HttpService()
    async with service.client() as client:
        answer = await client.get(PATH, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.json() == {"events": [], "meta_data": {"total": 0}}
    assert service.events.scopes == [Scope("domain-1", "workspace-1")]


@pytest.mark.parametrize("query", [[("event_type", "EVENT.SYS")], [("sub_event_type", "SUB_EVENT.OPS")]])
async def test_system_events_are_an_empty_list(query: list[tuple[str, str]]) -> None:
    service = HttpService()
    async with SignedClient(service) as client:
        names = await client.get(PATH, query)
        events = await client.get(f"/V1.0/{PROJECT}/event/a", query)
    assert names.json() == {"events": [], "meta_data": {"total": 0}}
    assert (events.status_code, events.json()["meta_data"]) == (200, {"total": 0})
    assert not service.events.scopes


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ([("start", "-1")], "ces.0006"),
        ([("start", "x")], "ces.0006"),
        ([("start", "²")], "ces.0006"),
        ([("limit", "0")], "ces.0006"),
        ([("limit", "101")], "ces.0006"),
        ([("from", "2"), ("to", "1")], "ces.0013"),
        ([("from", "2"), ("to", "2")], "ces.0013"),
        ([("event_type", "CUSTOM")], "ces.0013"),
        ([("sub_event_type", "x")], "ces.0013"),
    ],
)
async def test_invalid_parameters_are_refused(query: list[tuple[str, str]], code: str) -> None:
    async with SignedClient(HttpService()) as client:
        answer = await client.get(PATH, query)
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)


@pytest.mark.parametrize("query", [[("from", "yesterday")], [("to", "")], [("from", "9" * 20)], [("limit", "")]])
async def test_invalid_times_fall_back_to_defaults(query: list[tuple[str, str]]) -> None:
    async with SignedClient(HttpService()) as client:
        assert (await client.get(PATH, query)).status_code == 200


async def test_invalid_event_name_is_refused() -> None:
    async with SignedClient(HttpService()) as client:
        answer = await client.get(f"/V1.0/{PROJECT}/event/1a")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "ces.0013")
