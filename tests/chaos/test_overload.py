"""More than the service can do: what it can do it goes on doing, and the rest hears so at once."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx

from event_service.webhooks.keys import delivery_path
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
    """Calls at random moments, `rate` a second on average, however long the answers take."""
    chance = random.Random(1)
    calls: list[asyncio.Task[Answer]] = []
    began = due = time.monotonic()
    while due < began + seconds:
        await asyncio.sleep(due - time.monotonic())
        calls.append(asyncio.ensure_future(call()))
        due += chance.expovariate(rate)
    return list(await asyncio.gather(*calls))


async def best(call: Callable[[], Awaitable[Answer]], in_flight: int, seconds: float) -> float:
    """The most that is answered OK in a second with that many callers who wait for each answer."""
    answers: list[Answer] = []
    began = time.monotonic()

    async def caller() -> None:
        while time.monotonic() < began + seconds:
            answers.append(await call())

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return goodput(answers)


def goodput(answers: list[Answer]) -> float:
    """Calls that were answered OK, a second."""
    ended = [answer.ended for answer in answers if answer.code is OK]
    return len(ended) / (max(ended) - min(answer.began for answer in answers))


async def test_ten_times_what_can_be_done(make_service: MakeService, proxy: MongoProxy) -> None:
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


async def test_a_noisy_webhook_costs_the_others_little(make_service: MakeService, database_uri: str) -> None:
    service = make_service(
        database_uri, EVENT_SERVICE_WEBHOOK_RATE=str(RATE), EVENT_SERVICE_WEBHOOK_BURST=str(BURST)
    ).start()
    noisy, *quiet = [service.create_webhook(f"webhook {number}") for number in range(5)]
    seconds = scaled(3.0, 20.0)
    async with Caller(service.grpc_address, 2) as caller, Caller(service.grpc_address, 2) as noise:

        def deliver(caller: Caller, webhook: tuple[str, str]) -> Callable[[], Awaitable[Answer]]:
            return lambda: caller.create(webhook, {"event_key": f"key-{random.randrange(20)}"})

        async def the_quiet() -> list[Answer]:
            each = [offered(deliver(caller, webhook), QUIET_RATE, seconds) for webhook in quiet]
            return [answer for answers in await asyncio.gather(*each) for answer in answers]

        async def over_http() -> list[httpx.Response]:
            await asyncio.sleep(0.5 * seconds)
            async with httpx.AsyncClient() as client:
                return [await client.post(url_of(service, noisy), json={"event_key": "k"}) for _ in range(10)]

        alone = await the_quiet()
        noise_made = offered(deliver(noise, noisy), 10 * RATE, seconds)
        beside, loud, posts = await asyncio.gather(the_quiet(), noise_made, over_http())
        refused = [answer for answer in loud if answer.code is not OK]
    codes = Counter(answer.code for answer in alone + beside)
    assert codes[RESOURCE_EXHAUSTED] == 0
    assert codes[OK] >= scaled(0.8, 1.0) * codes.total(), codes
    assert {answer.code for answer in refused} == {RESOURCE_EXHAUSTED}, set(map(str, refused))
    assert all(answer.retry_after for answer in refused)
    took = max(answer.ended for answer in loud) - min(answer.began for answer in loud)
    assert len(loud) - len(refused) <= BURST + RATE * took + 1
    assert len(loud) - len(refused) >= RATE * seconds / 2
    assert {post.status_code for post in posts} <= {200, 429}
    assert any(post.status_code == 429 and int(post.headers["retry-after"]) >= 1 for post in posts)
    ratio = percentile([a.seconds for a in beside], 0.99) / percentile([a.seconds for a in alone], 0.99)
    print(f"p99 of the quiet ones beside a noisy one: {ratio:.2f} times what it is without")
    if LONG:
        assert ratio < 1.5


def url_of(service: Service, webhook: tuple[str, str]) -> str:
    return f"http://{service.http_address}{delivery_path(*webhook)}"
