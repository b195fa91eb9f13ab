"""Overload: goodput stays, and other calls are refused immediately."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx

from event_service.webhooks.keys import delivery_path
from tests.chaos import attacks
from tests.chaos.caller import OK, RESOURCE_EXHAUSTED, Answer, Caller, percentile
from tests.chaos.conftest import MakeService
from tests.chaos.mongodb_proxy import MongoProxy
from tests.chaos.scale import LONG, scaled
from tests.e2e.service import Service

# A database that is far away makes the service's capacity small enough for the test's client to exceed it ten times
# without wearing out the processors they share.
DATABASE_DELAY = 0.1
WRITE_QUEUE = 32
MOST_OFFERED = 2000  # a second; more is beyond the test's own client


async def offered(call: Callable[[], Awaitable[Answer]], rate: float, seconds: float) -> list[Answer]:
    """Call at random moments, `rate` a second on average, however long the answers take."""
    chance = random.Random(1)
    calls: list[asyncio.Task[Answer]] = []
    began = due = time.monotonic()
    while due < began + seconds:
        await asyncio.sleep(due - time.monotonic())
        calls.append(asyncio.ensure_future(call()))
        due += chance.expovariate(rate)
    return list(await asyncio.gather(*calls))


async def best(call: Callable[[], Awaitable[Answer]], in_flight: int, seconds: float) -> float:
    """Return the most that is answered OK in a second with that many callers who wait for each answer."""
    answers: list[Answer] = []
    began = time.monotonic()

    async def caller() -> None:
        while time.monotonic() < began + seconds:
            answers.append(await call())

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return goodput(answers)


def goodput(answers: list[Answer]) -> float:
    """Call that were answered OK, a second."""
    ended = [answer.ended for answer in answers if answer.code is OK]
    return len(ended) / (max(ended) - min(answer.began for answer in answers))


async def test_goodput_at_ten_times_capacity(make_service: MakeService, proxy: MongoProxy) -> None:
    proxy.delay = 0.0
    service = make_service(proxy.uri, EVENT_SERVICE_WRITE_QUEUE=str(WRITE_QUEUE)).start()
    webhook = service.create_webhook()
    proxy.delay = DATABASE_DELAY
    async with Caller(service.grpc_address, 4) as caller:

        def create() -> Awaitable[Answer]:
            return caller.create(webhook, {"event_key": f"key-{random.randrange(50)}", "description": "x" * 500})

        capacity = await best(create, WRITE_QUEUE, scaled(2.0, 10.0))
        answers = await offered(create, min(10 * capacity, MOST_OFFERED), scaled(3.0, 30.0))
    done = [answer for answer in answers if answer.code is OK]
    refused = [answer for answer in answers if answer.code is not OK]
    print(f"best {capacity:.0f}/s, offered {len(answers)}, goodput {goodput(answers):.0f}/s, refused {len(refused)}")
    print(f"refused p50 {percentile([a.seconds for a in refused], 0.5) * 1000:.1f} ms")
    print(f"refused p99 {percentile([a.seconds for a in refused], 0.99) * 1000:.1f} ms")
    print(f"done p99 {percentile([a.seconds for a in done], 0.99) * 1000:.1f} ms")
    assert len(refused) > len(done)
    assert {answer.code for answer in refused} == {RESOURCE_EXHAUSTED}, set(map(str, refused))
    assert all(answer.retry_after for answer in refused)
    assert goodput(answers) > scaled(0.4, 0.8) * capacity
    if LONG:
        assert percentile([answer.seconds for answer in refused], 0.99) < 0.05


RATE, BURST = 40, 40
QUIET_RATE = 8  # deliveries a second of each quiet webhook


async def test_noisy_webhook_does_not_slow_others(make_service: MakeService, database_uri: str) -> None:
    """Ten times what a webhook may deliver, from a process of its own."""
    service = make_service(
        database_uri, EVENT_SERVICE_WEBHOOK_RATE=str(RATE), EVENT_SERVICE_WEBHOOK_BURST=str(BURST)
    ).start()
    noisy, *quiet = [service.create_webhook(f"webhook {number}") for number in range(5)]
    seconds = scaled(3.0, 20.0)
    async with Caller(service.grpc_address, 2) as caller:

        def deliver(webhook: tuple[str, str]) -> Callable[[], Awaitable[Answer]]:
            return lambda: caller.create(webhook, {"event_key": f"key-{random.randrange(20)}"})

        async def the_quiet() -> list[Answer]:
            each = [offered(deliver(webhook), QUIET_RATE, seconds) for webhook in quiet]
            return [answer for answers in await asyncio.gather(*each) for answer in answers]

        async def of_the_noisy() -> tuple[list[Answer], list[httpx.Response]]:
            await asyncio.sleep(0.5 * seconds)
            async with httpx.AsyncClient() as client:
                url = url_of(service, noisy)
                posts = [await client.post(url, json={"event_key": "k"}) for _ in range(10)]
            return [await deliver(noisy)() for _ in range(10)], posts

        alone = await the_quiet()
        began = time.monotonic()
        noise = attacks.run("noise", seconds, service.grpc_address, service.http_address, noisy)
        beside, loud, (calls, posts) = await asyncio.gather(the_quiet(), noise, of_the_noisy())
        took = time.monotonic() - began
    codes = Counter(answer.code for answer in alone + beside)
    assert codes[RESOURCE_EXHAUSTED] == 0
    assert codes[OK] >= scaled(0.8, 1.0) * codes.total(), codes
    assert loud.keys() == {"0", "8"}
    assert RATE * seconds / 2 <= loud["0"] <= BURST + RATE * took + 1
    assert {answer.code for answer in calls} <= {OK, RESOURCE_EXHAUSTED}, set(map(str, calls))
    assert any(answer.retry_after for answer in calls)
    assert all(answer.retry_after for answer in calls if answer.code is RESOURCE_EXHAUSTED)
    assert {post.status_code for post in posts} <= {200, 429}
    assert any(post.status_code == 429 and int(post.headers["retry-after"]) >= 1 for post in posts)
    p99 = [percentile([answer.seconds for answer in answers], 0.99) for answers in (alone, beside)]
    print(
        f"noise: {loud['0']} taken, {loud['8']} refused in {took:.1f} s; the others' p99 "
        f"{p99[0] * 1000:.1f} -> {p99[1] * 1000:.1f} ms ({p99[1] / p99[0]:.2f} times)"
    )
    if LONG:
        assert p99[1] < 1.5 * p99[0]


def url_of(service: Service, webhook: tuple[str, str]) -> str:
    return f"http://{service.http_address}{delivery_path(*webhook)}"
