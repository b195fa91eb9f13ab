"""SIGTERM under load: all calls are answered, clients are sent to other servers, and acknowledged events are stored."""

import asyncio
import signal
import time
from collections import Counter

import httpx
import pytest

from event_service.webhooks.keys import delivery_path
from tests.chaos.caller import OK, UNAVAILABLE, Answer, Caller, events_of
from tests.chaos.conftest import MakeService
from tests.chaos.mongodb_proxy import MongoProxy
from tests.chaos.scale import LONG, scaled
from tests.e2e.service import Service

CREATES, READS, POSTS = 180, 20, 20


async def test_stop_answers_calls_in_flight_and_loses_nothing(make_service: MakeService, proxy: MongoProxy) -> None:
    for turn in range(scaled(1, 10)):
        service = make_service(proxy.uri, EVENT_SERVICE_GRACE_SECONDS="8").start()
        webhook = service.create_webhook(f"turn {turn}")
        service.create_event(webhook, {"event_key": "first"})
        proxy.delay = 0.2  # a batch takes about a second
        answers, stopping, in_flight = await stopped_under_load(service, webhook)
        proxy.delay = 0.0
        assert {answer.code for answer in answers.values()} <= {OK, UNAVAILABLE}, Counter(map(str, answers.values()))
        assert stopping < 8
        acknowledged = {name for name, answer in answers.items() if answer.code is OK and name.startswith("event-")}
        assert acknowledged, "the test has come too late"
        # There was time for them: they are worked on to their end, and not only answered.
        assert Counter(answers[name].code for name in in_flight)[OK] >= scaled(0.3, 0.9) * len(in_flight)
        service.start()
        stored = Counter(row["event_key"] for row in events_of(service, webhook, "event_key"))
        assert acknowledged - stored.keys() == set()
        assert {name: count for name, count in stored.items() if count > 1} == {}
        assert service.stop() == 0


async def stopped_under_load(service: Service, webhook: tuple[str, str]) -> tuple[dict[str, Answer], float, set[str]]:
    """Send SIGTERM while 200 calls are in flight, and some more when it has come.

    Returns:
        the answers, seconds to the end of the process, and what was in flight.
    """
    assert service.process is not None
    async with Caller(service.grpc_address, 4) as caller, httpx.AsyncClient() as client:
        url = f"http://{service.http_address}{delivery_path(*webhook)}"
        calls = {f"event-http-{n}": post(client, url, f"event-http-{n}") for n in range(POSTS)}
        calls |= {f"event-{n}": caller.create(webhook, {"event_key": f"event-{n}"}) for n in range(CREATES)}
        calls |= {f"read-{n}": caller.list(webhook_id=webhook[0]) for n in range(READS)}
        tasks = {name: asyncio.ensure_future(call) for name, call in calls.items()}
        await asyncio.sleep(0.5)  # until all of them have been read
        in_flight = {name for name, task in tasks.items() if not task.done()}
        assert len(in_flight) >= 200  # all but the reads, which are one trip to the database
        service.process.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        while (await asyncio.to_thread(service.health)) == "SERVING":
            assert time.monotonic() - signalled < 2
        if LONG:
            assert time.monotonic() - signalled < 0.1
        for number in range(20):
            name = f"event-late-{number}"
            tasks[name] = asyncio.ensure_future(caller.create(webhook, {"event_key": name}))
        await asyncio.gather(*tasks.values())
        status = await asyncio.to_thread(service.process.wait, 20)
        assert status == 0, service.log[-3000:]
        return {name: task.result() for name, task in tasks.items()}, time.monotonic() - signalled, in_flight


async def post(client: httpx.AsyncClient, url: str, event_key: str) -> Answer:
    """Make a delivery over HTTP; return its result in the form of gRPC."""
    began = time.monotonic()
    answer = await client.post(url, json={"event_key": event_key}, timeout=10)
    code = {200: OK, 503: UNAVAILABLE}[answer.status_code]
    return Answer(code, answer.text, began, time.monotonic() - began)


@pytest.mark.parametrize("slow", scaled(["silent"], ["silent", "slow"]))
async def test_the_grace_period_ends_whatever_the_database_does(
    make_service: MakeService, proxy: MongoProxy, slow: str
) -> None:
    service = make_service(proxy.uri, EVENT_SERVICE_GRACE_SECONDS="2").start()
    webhook = service.create_webhook()
    service.create_event(webhook, {"event_key": "first"})
    proxy.silent, proxy.delay = (True, 0.0) if slow == "silent" else (False, 1.0)
    answers, stopping, _ = await stopped_under_load(service, webhook)
    assert {answer.code for answer in answers.values()} <= {OK, UNAVAILABLE}, Counter(map(str, answers.values()))
    assert stopping < 2 + scaled(8.0, 0.25)


def test_stop_without_database_ends_within_grace_period(make_service: MakeService, proxy: MongoProxy) -> None:
    """Service and database may be stopped together; the URI may have a long serverSelectionTimeoutMS."""
    service = make_service(f"{proxy.uri}&serverSelectionTimeoutMS=30000").start()
    service.create_event(service.create_webhook(), {"event_key": "first"})
    proxy.close()
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 10
