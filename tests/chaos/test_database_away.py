"""A database that is stopped, hangs, is slow or loses connections: calls fail fast, and nothing is stored twice."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import psutil

from tests.chaos.caller import DEADLINE_EXCEEDED, OK, UNAVAILABLE, Answer, Caller, events_of
from tests.chaos.conftest import MakeService
from tests.chaos.mongodb_proxy import MongoProxy, Trap
from tests.chaos.scale import scaled
from tests.chaos.test_crash_points import WRITES
from tests.e2e.service import Service
from tests.waiting import until

AWAY_SECONDS = scaled(2.5, 10.0)
ANSWER_SECONDS = scaled(5.0, 2.3)
RETURN_SECONDS = scaled(15.0, 1.0)
MOST_MEMORY = 64 * 1024 * 1024
IMPATIENT_SECONDS = 0.3


@dataclass
class Load:
    """Continuous callers: eight that create, eight that read, and one with a short deadline.

    Attributes:
        memory: bytes the service held at most.
        healths: (monotonic time, health by gRPC), whenever it changed.
    """

    service: Service
    webhook: tuple[str, str]
    creates: list[Answer] = field(default_factory=list)
    reads: list[Answer] = field(default_factory=list)
    impatient: list[Answer] = field(default_factory=list)
    healths: list[tuple[float, str]] = field(default_factory=list)
    memory: int = 0
    ended: bool = False

    async def run(self, caller: Caller) -> None:
        """Go on until `ended`."""
        service = psutil.Process(self.service.pid)

        async def repeat(call: Callable[[], Awaitable[Answer]], answers: list[Answer]) -> None:
            while not self.ended:
                answers.append(await call())
                await asyncio.sleep(0.02)

        async def watch() -> None:
            while not self.ended:
                self.memory = max(self.memory, service.memory_info().rss)
                health = await asyncio.to_thread(self.service.health)
                if not self.healths or health != self.healths[-1][1]:
                    self.healths.append((time.monotonic(), health))
                await asyncio.sleep(0.05)

        def create() -> Awaitable[Answer]:
            return caller.create(self.webhook, {"event_key": f"k{len(self.creates) % 7}", "description": "x" * 1000})

        def read() -> Awaitable[Answer]:
            return caller.list(webhook_id=self.webhook[0], query={"page": {"limit": 10}})

        def hasty() -> Awaitable[Answer]:
            return caller.create(self.webhook, {"event_key": "hasty"}, deadline=IMPATIENT_SECONDS)

        callers = [repeat(create, self.creates) for _ in range(8)] + [repeat(read, self.reads) for _ in range(8)]
        await asyncio.gather(*callers, repeat(hasty, self.impatient), watch())


def give_up(proxy: MongoProxy) -> None:
    """Replies of this time are lost with their connections."""
    proxy.silent = False
    proxy.reset()


OUTAGES: dict[str, tuple[Callable[[MongoProxy], None], Callable[[MongoProxy], None]]] = {
    "refused": (lambda proxy: proxy.close(), lambda proxy: proxy.open()),
    "silent": (lambda proxy: setattr(proxy, "silent", True), give_up),
    "slow": (lambda proxy: setattr(proxy, "delay", 3.0), lambda proxy: setattr(proxy, "delay", 0.0)),
}


async def test_calls_fail_fast_without_database_and_recover_with_it(
    make_service: MakeService, proxy: MongoProxy
) -> None:
    service = make_service(proxy.uri).start()
    load = Load(service, service.create_webhook())
    async with Caller(service.grpc_address, 4) as caller:
        running = asyncio.ensure_future(load.run(caller))
        await asyncio.sleep(1)
        before = load.memory
        for name, (begin, end) in OUTAGES.items():
            began = time.monotonic()
            await asyncio.to_thread(begin, proxy)
            await asyncio.sleep(AWAY_SECONDS)
            returned = time.monotonic()
            await asyncio.to_thread(end, proxy)
            await until(lambda returned=returned: any(map(ok_after(returned), load.creates)), RETURN_SECONDS + 15)
            await until(lambda: load.healths[-1][1] == "SERVING", 15)
            await asyncio.sleep(0.5)
            check_outage(name, load, began, returned)
            check_return(name, load, returned)
        assert load.memory - before < MOST_MEMORY
        load.ended = True
        await running
        acknowledged = [answer for answer in load.creates + load.impatient if answer.code is OK]
    await asyncio.sleep(1.1)  # a total may be one second old
    stored = service.call("Event", "list", {"webhook_id": load.webhook[0], "query": {"count_only": True}})
    assert stored["total_count"] >= len(acknowledged)
    assert service.stop() == 0


def check_outage(name: str, load: Load, began: float, returned: float) -> None:
    """Assert that all calls failed in time with a retry delay."""
    affected = [answer for answer in load.creates + load.reads if answer.ended > began and answer.began < returned]
    assert len(affected) >= 16, f"{name}: no call was in flight"
    slowest = max(affected, key=lambda answer: answer.seconds)
    assert slowest.seconds < ANSWER_SECONDS, f"{name}: {slowest}"
    for answer in affected:
        if began + 0.1 < answer.began < answer.ended < returned:
            assert answer.code is UNAVAILABLE, f"{name}: {answer}"
            assert answer.retry_after, f"{name}: {answer}"
    hasty = [answer for answer in load.impatient if began + 0.1 < answer.began < answer.ended < returned]
    assert hasty
    assert {answer.code for answer in hasty} <= {UNAVAILABLE, DEADLINE_EXCEEDED}
    assert max(answer.seconds for answer in hasty) < IMPATIENT_SECONDS + scaled(3.0, 0.1)
    assert any(began < at < returned and health == "NOT_SERVING" for at, health in load.healths), name


def check_return(name: str, load: Load, returned: float) -> None:
    for answers in (load.creates, load.reads):
        first = min(answer.ended for answer in answers if ok_after(returned)(answer))
        print(f"{name}: first OK after {first - returned:.2f} s")
        assert first - returned < RETURN_SECONDS, f"{name}: first OK after {first - returned:.2f} s"


def ok_after(moment: float) -> Callable[[Answer], bool]:
    return lambda answer: answer.code is OK and answer.ended > moment


async def test_connection_cut_at_a_write_stores_one_document(make_service: MakeService, proxy: MongoProxy) -> None:
    """Before the database has heard of it, and after it has done it."""
    service = make_service(proxy.uri).start()
    webhook = service.create_webhook()
    expected = []
    async with Caller(service.grpc_address) as caller:
        for number, ((command, collection, skip), before) in enumerate(itertools.product(WRITES, [True, False])):
            old, new = f"old-{number}", f"new-{number}"
            assert (await caller.create(webhook, {"event_key": old})).code is OK
            payload = {"results": [{"event_key": old, "event_type": "RECOVERY"}, {"event_key": new}]}
            proxy.trap = trap = Trap(command, collection, before, proxy.reset, skip)
            answer = await caller.create(webhook, payload, key=f"key-{number}")
            assert trap.sprung.is_set()
            # OK where the driver could repeat the write by itself; what was stored is held to one of each below.
            assert answer.code in {OK, UNAVAILABLE}, answer
            assert answer.code is OK or answer.retry_after
            assert answer.seconds < ANSWER_SECONDS
            while (answer := await caller.create(webhook, payload, key=f"key-{number}")).code is not OK:
                assert answer.code is UNAVAILABLE, answer
                await asyncio.sleep(0.05)
            expected += [(old, "ALERT"), (old, "RECOVERY"), (new, "ALERT")]
    stored = [(row["event_key"], row["event_type"]) for row in events_of(service, webhook, "event_key", "event_type")]
    assert sorted(stored) == sorted(expected)
    assert service.stop() == 0
