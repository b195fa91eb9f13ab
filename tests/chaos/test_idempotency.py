"""A delivery is stored once under any number of concurrent and later retries. A condition opens one alert."""

import asyncio
from collections import Counter

import grpc

from tests.chaos.caller import OK, Answer, Caller, events_of
from tests.chaos.conftest import MakeService
from tests.chaos.scale import scaled
from tests.e2e.service import Service

ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS

CLIENTS = 16
SENDS = scaled(640, 10_000)
PAYLOAD = {"event_key": "one", "title": "sent again and again", "additional_info": {"n": 1.5}}


async def send(callers: list[Caller], webhook: tuple[str, str], sends: int, key: str = "k") -> list[Answer]:
    """Return the same payload `sends` times from 16 clients, each over the next of the callers. All answers."""
    answers: list[Answer] = []

    async def client(number: int) -> None:
        while len(answers) < sends:
            answers.append(await callers[number % len(callers)].create(webhook, PAYLOAD, key=key))

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return answers


def check_one_document(service: Service, webhook: tuple[str, str], answers: list[Answer]) -> str:
    """Assert that all calls return OK and the same event, all but one as a duplicate; return its id."""
    assert {answer.code for answer in answers} == {OK}
    assert sum("event-duplicate" not in answer.trailers for answer in answers) == 1
    (row,) = events_of(service, webhook)
    assert {answer.trailers["event-id"] for answer in answers} == {row["event_id"]}
    return str(row["event_id"])


async def test_event_sent_many_times_is_stored_once(make_service: MakeService, database_uri: str) -> None:
    """By one replica, by two at once, and by one that has been started anew."""
    first, second = make_service(database_uri).start(), make_service(database_uri).start()
    webhook = first.create_webhook()
    async with Caller(first.grpc_address, 4) as one, Caller(second.grpc_address, 4) as two:
        answers = await send([one, two], webhook, SENDS)
        event_id = check_one_document(second, webhook, answers)
        for other in ({**PAYLOAD, "title": "another"}, {**PAYLOAD, "additional_info": {"n": 1.25}}, {"a": None}):
            for caller in (one, two):
                answer = await caller.create(webhook, other, key="k")
                assert answer.code is ALREADY_EXISTS, answer
                assert answer.details.startswith("ERROR_ALREADY_EXISTS: ")
    first.kill()
    assert second.stop() == 0
    first.start()
    async with Caller(first.grpc_address) as one:
        again = await send([one], webhook, CLIENTS)
        assert {answer.trailers["event-id"] for answer in again} == {event_id}
        assert all("event-duplicate" in answer.trailers for answer in again)
        assert (await one.create(webhook, {**PAYLOAD, "title": "another"}, key="k")).code is ALREADY_EXISTS
        assert (await one.create(webhook, PAYLOAD, key="another")).code is OK
    assert len(events_of(first, webhook)) == 2
    assert first.stop() == 0


async def test_two_replicas_open_one_alert(make_service: MakeService, database_uri: str) -> None:
    """Creates of new keys race at two replicas; so do the recoveries that close their alerts."""
    first, second = make_service(database_uri).start(), make_service(database_uri).start()
    webhook = first.create_webhook()
    keys = [f"key-{number}" for number in range(scaled(12, 200))]
    recoveries: list[Counter[str]] = []
    async with Caller(first.grpc_address, 2) as one, Caller(second.grpc_address, 2) as two:

        async def race(event_type: str) -> list[Answer]:
            calls = [
                caller.create(webhook, {"event_key": key, "event_type": event_type})
                for key in keys
                for caller in (one, two, one, two)
            ]
            return await asyncio.gather(*calls)

        assert Counter(answer.code for answer in await race("ALERT")) == {OK: 4 * len(keys)}
        alerts: dict[str, set[str]] = {}
        for row in events_of(first, webhook, "event_key", "alert_id"):
            alerts.setdefault(row["event_key"], set()).add(row["alert_id"])
        assert alerts.keys() == set(keys)
        assert {key: found for key, found in alerts.items() if len(found) != 1} == {}
        assert len(set.union(*alerts.values())) == len(keys)

        # Those that come at the same time may all be stored, since each finds the others decided and not stored yet.
        # What comes later finds the alert closed.
        for _ in range(2):
            assert Counter(answer.code for answer in await race("RECOVERY")) == {OK: 4 * len(keys)}
            rows = events_of(second, webhook, "event_key", "event_type", "alert_id")
            assert all(row["alert_id"] in alerts[row["event_key"]] for row in rows)
            recoveries.append(Counter(row["event_key"] for row in rows if row["event_type"] == "RECOVERY"))
        assert recoveries[0].keys() == set(keys)
        assert recoveries[1] == recoveries[0]
        assert Counter(answer.code for answer in await race("ALERT")) == {OK: 4 * len(keys)}
        rows = events_of(first, webhook, "event_key", "alert_id")
        assert len({row["alert_id"] for row in rows}) == 2 * len(keys)
    assert (first.stop(), second.stop()) == (0, 0)
