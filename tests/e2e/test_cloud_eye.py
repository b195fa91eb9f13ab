"""The vendor's unmodified SDK reports events to a real process, reads them back, and understands every refusal."""

import base64
import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from huaweicloudsdkces.v1 import CreateEventsRequest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, ServerResponseException

from event_service.store.embedded.database import EmbeddedDatabase
from tests.e2e.cloud_eye_sdk import (
    Account,
    changing,
    detail_request,
    event,
    names_request,
    now_ms,
    request,
)
from tests.e2e.service import Service

EVENT_ID = re.compile(r"ev[0-9]{13}[0-9A-Za-z]{9}")

# The example request of the API's page, as it is printed there.
EXAMPLE = json.loads("""[
  {"event_name": "systemInvaded", "event_source": "financial.System", "time": 1522121194000,
   "detail": {"content": "The financial system was invaded", "group_id": "rg15221211517051YWWkEnVd",
              "resource_id": "1234567890sjgggad", "resource_name": "ecs001", "event_state": "normal",
              "event_level": "Major", "event_user": "xiaokong", "event_type": "EVENT.CUSTOM"}},
  {"event_name": "systemInvaded", "event_source": "financial.System", "time": 1522121194020,
   "detail": {"content": "The financial system was invaded", "group_id": "rg15221211517051YWWkEnVd",
              "resource_id": "1234567890sjgggad", "resource_name": "ecs001", "event_state": "normal",
              "event_level": "Major", "event_user": "xihong", "event_type": "EVENT.CUSTOM"}}
]""")


@pytest.fixture
def account(service: Service) -> Account:
    return Account(service)


def check_refusal(refusal: ClientRequestException, status: int, code: str, text: str) -> None:
    assert (refusal.status_code, refusal.error_code) == (status, code)
    assert text in refusal.error_msg
    assert re.fullmatch(r"[0-9a-f]{32}", refusal.request_id)


def test_events_are_reported_and_are_events_like_all_others(account: Account) -> None:
    moment = now_ms()
    answer = account.client().create_events(
        request(
            event("diskFull", moment, content="sdb: 中文", resource_id="id:1", resource_name="ecs001",
                  event_state="warning", event_level="Critical", event_user="root"),
            event("serviceUp", moment),
        )
    )  # fmt: skip
    assert answer.status_code == 201
    assert [entry.event_name for entry in answer.body] == ["diskFull", "serviceUp"]
    assert all(EVENT_ID.fullmatch(entry.event_id) for entry in answer.body)

    stored = {row["title"]: row for row in account.stored()}
    assert set(stored) == {"diskFull on ecs001", "serviceUp"}
    row = stored["diskFull on ecs001"]
    assert row["additional_info"]["ces_event_id"] == answer.body[0].event_id
    assert (row["severity"], row["event_type"]) == ("CRITICAL", "ALERT")
    assert row["description"] == "sdb: 中文"
    assert row["resources"] == ["id:1"]
    assert row["webhook_id"] == account.access_key_id
    assert row["occurred_at"] == datetime.fromtimestamp(moment / 1000, UTC).isoformat("T", "milliseconds").replace(
        "+00:00", "Z"
    )
    assert row["raw_data"]["detail"]["event_user"] == "root"
    assert row["alert_id"]


def test_events_are_read_back(account: Account) -> None:
    client = account.client()
    moment = now_ms() - 5000
    reported = [
        client.create_events(request(event("diskFull", moment + index, event_user=f"u{index % 2}"))).body[0]
        for index in range(3)
    ]
    client.create_events(request(event("serviceUp", moment + 10, event_level="Info")))

    names = client.list_events(names_request())
    assert names.meta_data.total == 2
    assert [(entry.event_name, entry.event_count) for entry in names.events] == [("serviceUp", 1), ("diskFull", 3)]
    assert names.events[1].latest_occur_time == moment + 2
    assert names.events[1].latest_event_source == "financial.System"
    paged = client.list_events(names_request(start=1, limit=1))
    assert ([entry.event_name for entry in paged.events], paged.meta_data.total) == (["diskFull"], 2)
    assert client.list_events(names_request(event_name="diskFull")).meta_data.total == 1
    assert client.list_events(names_request(_from=1, to=2)).meta_data.total == 0
    assert client.list_events(names_request(event_type="EVENT.SYS")).events == []

    detail = client.list_event_detail(detail_request("diskFull"))
    assert detail.meta_data.total == 3
    assert sorted(detail.event_users) == ["u0", "u1"]
    assert detail.event_sources == ["financial.System"]
    assert [entry.event_id for entry in detail.event_info] == [entry.event_id for entry in reversed(reported)]
    assert [entry.time for entry in detail.event_info] == [moment + 2, moment + 1, moment]
    assert detail.event_info[0].detail.event_type == "EVENT.CUSTOM"
    assert client.list_event_detail(detail_request("diskFull", event_user="u1")).meta_data.total == 1
    page = client.list_event_detail(detail_request("diskFull", start=1, limit=1))
    assert [entry.event_id for entry in page.event_info] == [reported[1].event_id]
    assert client.list_event_detail(detail_request("nothing")).meta_data.total == 0


def test_normal_after_a_warning_is_a_recovery(account: Account) -> None:
    client = account.client()
    moment = now_ms() - 10_000
    for index, state in enumerate(["normal", "warning", "normal", "normal"]):
        client.create_events(request(event("disk", moment + index, resource_id="r", event_state=state)))
    rows = sorted(account.stored(), key=lambda row: row["occurred_at"])
    assert [row["event_type"] for row in rows] == ["ALERT", "ALERT", "RECOVERY", "RECOVERY"]
    assert rows[1]["alert_id"] == rows[2]["alert_id"]
    # The second recovery finds nothing open; it was promised an id and is stored all the same.
    assert "alert_id" not in rows[3]


def test_the_example_of_the_documents(account: Account) -> None:
    client = account.client()
    with pytest.raises(ClientRequestException) as refusal:
        client.create_events(CreateEventsRequest(body=EXAMPLE))
    check_refusal(refusal.value, 400, "ces.0014", "[0].time must be between")
    assert account.stored() == []

    moved = [{**item, "time": item["time"] - 1522121194000 + now_ms() - 1000} for item in EXAMPLE]
    answer = client.create_events(CreateEventsRequest(body=moved))
    assert answer.status_code == 201
    assert [entry.event_name for entry in answer.body] == ["systemInvaded", "systemInvaded"]
    assert len({entry.event_id for entry in answer.body}) == 2
    assert len(account.stored()) == 2


def test_a_hundred_events(account: Account) -> None:
    moment = now_ms() - 1000
    answer = account.client().create_events(request(*(event("many", moment + index) for index in range(100))))
    assert len({entry.event_id for entry in answer.body}) == 100
    assert len(account.stored()) == 100


def test_sixteen_clients_report_the_same_twice(account: Account) -> None:
    same = [event(f"e{index}", now_ms(), event_state="warning", resource_id="r") for index in range(5)]

    def report(_: int) -> list[str]:
        client = account.client()
        return [entry.event_id for _ in range(2) for entry in client.create_events(request(*same)).body]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(report, range(16)))
    assert len({tuple(answer) for answer in answers}) == 1
    ids = answers[0]
    assert ids[:5] == ids[5:]
    assert sorted(row["additional_info"]["ces_event_id"] for row in account.stored()) == sorted(ids[:5])


def test_an_event_is_the_same_with_another_webhook_of_its_project(account: Account) -> None:
    same = request(event("diskFull", event_state="warning"), event("diskFull", event_state="incident"))
    second = Account(account.service, account.project_id)
    stranger = Account(account.service, account.project_id, owner="project-2")
    ids, again, other = (
        [entry.event_id for entry in reporter.client().create_events(same).body]
        for reporter in (account, second, stranger)
    )
    assert again == ids
    assert not {*other} & {*ids}, "one project hides no events of another"
    rows = [(row["webhook_id"], row["project_id"]) for row in account.stored()]
    expected = [(account.access_key_id, "project-1")] * 2 + [(stranger.access_key_id, "project-2")] * 2
    assert sorted(rows) == sorted(expected)


def test_two_replicas_answer_with_the_same_ids(
    make_service: Callable[..., Service], own_database: dict[str, str]
) -> None:
    # Both must open the keys that one of them has encrypted.
    secret = base64.b64encode(bytes(32)).decode()
    replicas = [make_service(**own_database, EVENT_SERVICE_SECRET_KEY=secret) for _ in range(2)]
    accounts = [Account(replicas[0].start())]
    one = accounts[0]
    accounts.append(Account(replicas[1].start(), one.project_id, one.access_key_id, one.secret_key))
    same = [event(f"e{index}", now_ms(), event_state="warning", resource_id="r") for index in range(20)]

    def report(index: int) -> list[str]:
        return [entry.event_id for entry in accounts[index % 2].client().create_events(request(*same)).body]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(report, range(8)))
    assert len({tuple(answer) for answer in answers}) == 1
    stored = sorted(row["additional_info"]["ces_event_id"] for row in one.stored())
    assert stored == sorted(answers[0])
    for replica in replicas:
        replica.stop()


def test_the_same_event_keeps_its_id_over_a_restart(
    make_service: Callable[..., Service], own_database: dict[str, str]
) -> None:
    service = make_service(**own_database).start()
    account = Account(service)
    same = request(event("again", now_ms()))
    first = account.client().create_events(same).body[0].event_id
    service.stop()
    service.start()
    assert account.client().create_events(same).body[0].event_id == first
    assert len(account.stored()) == 1


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_wrong_secret(account: Account) -> None:
    with pytest.raises(ClientRequestException) as refusal:
        account.client(secret_key="wrong").create_events(request(event()))
    check_refusal(refusal.value, 401, "APIGW.0301", "verify aksk signature fail")


def test_an_unknown_access_key_id(account: Account) -> None:
    stranger = Account(account.service, account.project_id, "webhook-000000000000", "x")
    with pytest.raises(ClientRequestException) as refusal:
        stranger.client().create_events(request(event()))
    check_refusal(refusal.value, 401, "APIGW.0301", "Get secretKey failed")


def test_a_body_that_is_changed_on_the_way(account: Account) -> None:
    with changing(account.service.http_address, b"financial.System", b"financial.system") as address:
        client = account.client(address=address)
        with pytest.raises(ClientRequestException) as refusal:
            client.create_events(request(event()))
    check_refusal(refusal.value, 401, "APIGW.0301", "verify aksk signature fail")
    assert account.stored() == []


@pytest.mark.parametrize("seconds", [-960, 960])
def test_a_clock_that_is_wrong(account: Account, seconds: int) -> None:
    skewed = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y%m%dT%H%M%SZ")
    invoker = account.client().create_events_invoker(request(event())).add_header("X-Sdk-Date", skewed)
    with pytest.raises(ClientRequestException) as refusal:
        invoker.invoke()
    check_refusal(refusal.value, 401, "APIGW.0301", "signature expired")


def test_another_project(account: Account) -> None:
    with pytest.raises(ClientRequestException) as refusal:
        account.client(project_id="0" * 32).create_events(request(event()))
    check_refusal(refusal.value, 403, "ces.0017", "another project")
    with pytest.raises(ClientRequestException) as refusal:
        account.client(project_id="0" * 32).list_events(names_request())
    check_refusal(refusal.value, 403, "ces.0017", "another project")


def test_two_faults_at_once(account: Account) -> None:
    with pytest.raises(ClientRequestException) as refusal:
        account.client().create_events(request(event(), event("1bad"), event(event_level="Fatal")))
    check_refusal(refusal.value, 400, "ces.0014", "[1].event_name must be 1 to 64")
    assert "[2].detail.event_level must be Critical or Major or Minor or Info" in refusal.value.error_msg
    assert account.stored() == []


def test_a_body_that_is_too_large(account: Account) -> None:
    body = json.dumps([{"event_name": "x" * 13_000_000}])
    with pytest.raises(ClientRequestException) as refusal:
        account.client().create_events(CreateEventsRequest(body=body))
    check_refusal(refusal.value, 413, "APIGW.0201", "larger than")


def test_a_disabled_webhook(account: Account) -> None:
    account.service.call("Webhook", "disable", {"webhook_id": account.access_key_id})
    deadline = time.monotonic() + 1.5
    while True:
        try:
            account.client().create_events(request(event()))
        except ClientRequestException as refusal:
            check_refusal(refusal, 403, "ces.0017", "disabled")
            return
        assert time.monotonic() < deadline, "still reporting"


def test_a_database_that_is_gone(make_service: Callable[..., Service], tmp_path: Path) -> None:
    database = EmbeddedDatabase(tmp_path / "database")
    uri = database.start()
    try:
        account = Account(make_service(EVENT_SERVICE_MONGODB_URI=uri).start())
        client = account.client()
        client.create_events(request(event()))
    finally:
        database.stop()
    started = time.monotonic()
    with pytest.raises(ServerResponseException) as failure:
        client.create_events(request(event("other")))
    assert time.monotonic() - started < 5
    assert (failure.value.status_code, failure.value.error_code) == (503, "APIGW.0613")
    assert re.fullmatch(r"[0-9a-f]{32}", failure.value.request_id)


# --- without the SDK --------------------------------------------------------------------------------------------------


def posted(account: Account, headers: dict[str, str], **item: Any) -> httpx.Response:
    body = [{"event_name": "curl", "event_source": "abc.def", "time": now_ms(), "detail": {}, **item}]
    url = f"http://{account.service.http_address}/V1.0/{account.project_id}/events"
    return httpx.post(url, json=body, headers=headers)


def test_x_auth_token_for_curl(account: Account) -> None:
    answer = posted(account, {"X-Auth-Token": f"{account.access_key_id}:{account.secret_key}"})
    assert answer.status_code == 201
    assert posted(account, {"X-Auth-Token": f"{account.access_key_id}:x"}).status_code == 401
    assert posted(account, {}).json()["error_code"] == "ces.0015"


def test_keys_are_not_in_the_log(account: Account) -> None:
    account.client().create_events(request(event()))
    posted(account, {"X-Auth-Token": f"{account.access_key_id}:{account.secret_key}"})
    assert account.secret_key not in account.service.log
