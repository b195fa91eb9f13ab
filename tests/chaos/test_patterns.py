"""Accepted regular expressions: the worst ones end within their deadline, and other calls do not wait."""

import asyncio
from collections import Counter
from random import Random

from google.protobuf import json_format

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.query.regex_rule import PatternFault, checked_pattern
from tests.chaos.caller import EVENT, OK, Answer, Caller, percentile
from tests.chaos.conftest import MakeService
from tests.chaos.scale import LONG, scaled
from tests.unit.query.corpus import EXPLODING_PATTERNS
from tests.unit.store.patterns import ANYTHING, ATOMS, REPEATS, worst_texts

PATTERNS = scaled(100, 2000)
DEADLINE = 10.0  # seconds
QUIET_SECONDS = scaled(0.5, 10.0)
TEXT_LENGTH = 100  # titles; the bound is for each character of a text
LEAST_SECONDS = 0.01  # below it, a p99 says more of the machine than of the service


def let_through(count: int) -> list[str]:
    """Patterns as bad as the rule allows, always the same."""
    chance = Random(7)
    found: dict[str, None] = {}
    while len(found) < count:
        pieces = [
            chance.choice(ANYTHING) if chance.random() < 0.3 else chance.choice(ATOMS) + chance.choice(REPEATS)
            for _ in range(chance.randint(2, 9))
        ]
        pattern = "".join([*pieces, "!"])  # which no text has: every way has to be tried
        try:
            checked_pattern(pattern)
        except PatternFault:
            continue
        found[pattern] = None
    return list(found)


async def test_worst_patterns_end_within_their_deadline(make_service: MakeService, database_uri: str) -> None:
    service = make_service(database_uri).start()
    webhook = service.create_webhook()
    texts = worst_texts(TEXT_LENGTH)
    events = [{"event_key": f"key-{number}", "title": text} for number, text in enumerate(texts * scaled(3, 20))]
    service.create_event(webhook, {"results": events})
    async with Caller(service.grpc_address) as caller, Caller(service.grpc_address) as other:
        created = await other.create(webhook, {"event_key": "mine"})
        ended = asyncio.Event()

        async def beside() -> list[Answer]:
            answers: list[Answer] = []
            while not ended.is_set():
                answers.append(await other.get(created.trailers["event-id"]))
                answers.append(await other.create(webhook, {"event_key": "mine"}))
                await asyncio.sleep(0.02)
            return answers

        async def ask(pattern: str, operator: str = "regex") -> Answer:
            value = [pattern] if operator == "regex_in" else pattern
            query = {"filter": [{"k": "title", "o": operator, "v": value}], "page": {"limit": 5}}
            request = json_format.ParseDict({"query": query}, event_pb2.EventQuery())
            return await caller.call(f"{EVENT}/list", request, deadline=DEADLINE)

        served = asyncio.ensure_future(beside())
        await asyncio.sleep(QUIET_SECONDS)
        ended.set()
        quiet = await served
        ended.clear()
        served = asyncio.ensure_future(beside())
        answers = [await ask(pattern) for pattern in let_through(PATTERNS)]
        ended.set()
        busy = await served
        refused = [await ask(pattern, operator) for pattern in EXPLODING_PATTERNS for operator in ("regex", "regex_in")]
    assert Counter(answer.code.name for answer in answers) == {"OK": PATTERNS}
    assert all(event_pb2.EventsInfo.FromString(answer.reply).total_count == 0 for answer in answers)
    assert {answer.code for answer in quiet + busy} == {OK}
    assert Counter(answer.code.name for answer in refused) == {"INVALID_ARGUMENT": 2 * len(EXPLODING_PATTERNS)}
    slowest = max(answer.seconds for answer in answers)
    p99 = [max(percentile([answer.seconds for answer in some], 0.99), LEAST_SECONDS) for some in (quiet, busy)]
    print(
        f"{PATTERNS} patterns, the slowest {slowest:.2f} s; "
        f"other calls' p99 {p99[0] * 1000:.1f} -> {p99[1] * 1000:.1f} ms ({p99[1] / p99[0]:.1f} times)"
    )
    assert slowest < DEADLINE
    if LONG:
        assert p99[1] <= 2 * p99[0]
    assert service.stop() == 0
