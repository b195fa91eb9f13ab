"""A well-behaved client beside attacks: it is served as before, and memory stays bounded."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import psutil

from event_service._gen.event_service.v1 import events_pb2
from tests.chaos import attacks
from tests.chaos.caller import OK, Answer, Caller, percentile
from tests.chaos.scale import LONG, scaled
from tests.e2e.service import Service

# A p99 of a few milliseconds says more of the machine than of the service.
LEAST_SECONDS = 0.01


@dataclass(frozen=True)
class Bounds:
    """What an attack may do to others. Only the silence is asserted in the short form: its machine is shared.

    Attributes:
        memory: growth of the resident size, in bytes.
        slower: ratio of the p99 during and before the attack.
        silence: seconds that /healthz may take, unless it took longer before.
    """

    memory: float = 64 * attacks.MIB
    slower: float = 2.0
    silence: float = scaled(5.0, 0.1)


@dataclass(frozen=True)
class Neighbour:
    """The tokens of a healthy client and of an attacker in another domain, and the client's webhook."""

    token: str
    webhook: tuple[str, str]
    attacker_token: str


class Healthy:
    """A client that creates, gets and lists, a little of each, and writes down how it is served."""

    def __init__(self, caller: Caller, webhook: tuple[str, str]) -> None:
        self._caller = caller
        self._webhook = webhook

    async def run(self, ended: asyncio.Event) -> list[Answer]:
        answers: list[Answer] = []
        while not ended.is_set():
            created = await self._caller.create(self._webhook, {"event_key": "healthy", "title": "I am well"})
            answers.append(created)
            if created.code is OK:
                answers.append(await self._caller.get(created.trailers["event-id"]))
            answers.append(await self._caller.list(webhook_id=self._webhook[0], query={"page": {"limit": 5}}))
            answers += await self.more()
            await asyncio.sleep(0.02)
        return answers

    async def more(self) -> list[Answer]:
        """Make the calls of a round that only some tests ask for."""
        return []


class HealthyReader(Healthy):
    """Also exports and watches."""

    async def more(self) -> list[Answer]:
        export, watch = events_pb2.ExportRequest(), events_pb2.WatchRequest()
        export.query.webhook_id = self._webhook[0]
        return [
            await self._caller.first_of(f"{attacks.EVENTS}/Export", export),
            await self._caller.first_of(f"{attacks.EVENTS}/Watch", watch),
        ]


async def most_memory(service: Service, ended: asyncio.Event) -> int:
    """Return the largest resident size, in bytes, until `ended`."""
    process, most = psutil.Process(service.pid), 0
    while not ended.is_set():
        most = max(most, process.memory_info().rss)
        await asyncio.sleep(0.02)
    return most


async def longest_silence(service: Service, ended: asyncio.Event) -> float:
    """Return the longest time that /healthz took, in seconds, until `ended`."""
    longest = 0.0
    async with httpx.AsyncClient(base_url=f"http://{service.http_address}", timeout=30, trust_env=False) as client:
        while not ended.is_set():
            began = time.monotonic()
            assert (await client.get("/healthz")).status_code == 200
            longest = max(longest, time.monotonic() - began)
            await asyncio.sleep(0.01)
    return longest


async def attacked(
    service: Service,
    targets: Mapping[str, tuple[str, str]],
    *,
    seconds: float,
    expected: Mapping[str, set[str]],
    bounds: Mapping[str, Bounds] | None = None,
    neighbour: Neighbour | None = None,
) -> list[str]:
    """Run attacks one after another beside a well-behaved client; return the broken promises.

    Args:
        targets: attack -> webhook_id and access key that it uses.
        expected: possible replies of attacks.
        bounds: of attacks that may do more than others.
        neighbour: the healthy client and the attacker are of different domains.
    """
    webhook = service.create_webhook("healthy") if neighbour is None else neighbour.webhook
    service.create_event(webhook, {"event_key": "first"})
    process = psutil.Process(service.pid)
    faults: list[str] = []
    metadata = {} if neighbour is None else {"token": neighbour.token}
    async with Caller(service.grpc_address, 2, metadata) as caller:
        healthy = Healthy(caller, webhook) if neighbour is None else HealthyReader(caller, webhook)

        async def beside(
            work: "asyncio.Future[Counter[str]] | asyncio.Task[Counter[str]]",
        ) -> tuple[list[Answer], int, float]:
            ended = asyncio.Event()
            served = asyncio.ensure_future(healthy.run(ended))
            memory = asyncio.ensure_future(most_memory(service, ended))
            silence = asyncio.ensure_future(longest_silence(service, ended))
            await work
            ended.set()
            return await served, await memory, await silence

        async def nothing() -> Counter[str]:
            await asyncio.sleep(seconds)
            return Counter()

        for name, target in targets.items():
            bound = (bounds or {}).get(name, Bounds())
            quiet, _, quiet_silence = await beside(asyncio.ensure_future(nothing())) if LONG else ([], 0, 0.0)
            before = process.memory_info().rss
            attack = asyncio.ensure_future(
                attacks.run(
                    name,
                    seconds,
                    service.grpc_address,
                    service.http_address,
                    target,
                    "" if neighbour is None else neighbour.attacker_token,
                )
            )
            answers, memory, silence = await beside(attack)
            codes = Counter(answer.code.name for answer in answers)
            if set(codes) != {"OK"}:
                faults.append(f"{name}: the healthy client was answered {codes}")
            if name in expected and not attack.result().keys() <= expected[name]:
                faults.append(f"{name}: the attack was answered {attack.result()}")
            if silence > max(bound.silence, quiet_silence):
                faults.append(f"{name}: /healthz took {silence:.3f} s")
            if not LONG:
                continue
            p99 = [percentile([answer.seconds for answer in some], 0.99) for some in (quiet, answers)]
            slower = max(p99[1], LEAST_SECONDS) / max(p99[0], LEAST_SECONDS)
            more = memory - before
            print(
                f"{name:28} p99 {p99[0] * 1000:6.1f} -> {p99[1] * 1000:6.1f} ms ({slower:4.1f} times), "
                f"/healthz {quiet_silence * 1000:6.1f} -> {silence * 1000:6.1f} ms, +{more / attacks.MIB:5.1f} MiB, "
                f"{dict(attack.result())}"
            )
            if slower > bound.slower:
                faults.append(f"{name}: p99 {slower:.1f} times what it was")
            if more > bound.memory:
                faults.append(f"{name}: {more / attacks.MIB:.0f} MiB more")
    return faults
