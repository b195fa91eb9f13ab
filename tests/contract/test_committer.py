"""A batch of creates on a real store: what is written, and what a second attempt finds."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from event_service.concurrency.group_commit import RETRY
from event_service.errors import AlreadyExists, Unavailable
from event_service.events.alert_rules import AlertRules, condition_id_of
from event_service.events.committer import Committer
from event_service.events.event_builder import EncodedEvent, new_event_id
from event_service.events.write_request import CreateResult, IdempotencyRequest, PendingEvent, WriteRequest
from event_service.model.condition import AlertState, ConditionKey
from event_service.model.event import Event, EventDraft, EventType
from event_service.model.scope import Scope
from event_service.store.alerts import AlertStore
from event_service.store.client import Database
from event_service.store.conditions import ConditionStore
from event_service.store.event_writer import EventWriter
from event_service.store.idempotency_keys import IdempotencyStore
from event_service.wire.event_info import encode_event

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RULES = AlertRules(duplicate_event_time=timedelta(seconds=600))


class Bench:
    """A committer over one database, and creates to feed it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.conditions = ConditionStore(database, 5000)
        self.alerts = AlertStore(database, 5000)
        self.events = EventWriter(database, 5000)
        self.claims = IdempotencyStore(database, 5000)
        self.commit = self.committer()

    def committer(self, **replaced: Any) -> Committer:
        parts: dict[str, Any] = {
            "conditions": self.conditions,
            "alerts": self.alerts,
            "events": self.events,
            "claims": self.claims,
        }
        return Committer(**{**parts, **replaced})

    def entry(self, event_type: EventType, key: str, seconds: float) -> PendingEvent:
        draft = EventDraft(key, event_type, title=f"{event_type} of {key}")
        at = NOON + timedelta(seconds=seconds)
        event = Event(new_event_id(), draft, "domain", "workspace", "project", "webhook", at)
        name = condition_id_of("webhook", "domain", "workspace", "project", key)
        return PendingEvent(
            EncodedEvent(event, encode_event(event)),
            ConditionKey("webhook", "domain", "workspace", "project", key),
            name,
        )

    def item(self, *events: tuple[EventType, str, float], claim: str = "", digest: str = "d") -> WriteRequest:
        request = IdempotencyRequest(claim, digest, NOON + timedelta(days=1)) if claim else None
        return WriteRequest([self.entry(*event) for event in events], RULES, request)

    def run(self, *items: WriteRequest) -> list[CreateResult | Exception]:
        """Commits as the writer does: what is deferred goes into the next batch."""
        results: dict[int, CreateResult | Exception] = {}
        waiting = list(enumerate(items))
        for _ in range(20):
            outcomes = self.commit([item for _, item in waiting])
            rest = []
            for (index, item), outcome in zip(waiting, outcomes, strict=True):
                if outcome is RETRY:
                    rest.append((index, item))
                elif isinstance(outcome, CreateResult | Exception):
                    results[index] = outcome
            waiting = rest
            if not waiting:
                return [results[index] for index in range(len(items))]
        raise AssertionError("deferred without end")

    def alert_states(self) -> list[tuple[str, str | None]]:
        return sorted((row["state"], row.get("resolved_by")) for row in self.database["alert"].find())

    def stored(self, key: str) -> list[dict[str, Any]]:
        return list(self.database["event"].find({"event_key": key}).sort("_id"))


ALERT, RECOVERY, ERROR = EventType.ALERT, EventType.RECOVERY, EventType.ERROR


@pytest.fixture
def bench(database: Database) -> Bench:
    database["event"].create_index("event_id", unique=True)
    return Bench(database)


def test_alerts_of_one_key_in_one_batch_share_an_alert(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)), bench.item((ALERT, "a", 1)), bench.item((ALERT, "b", 1)))
    first, second = bench.stored("a")
    (other,) = bench.stored("b")
    assert first["alert_id"] == second["alert_id"] != other["alert_id"]
    assert bench.alert_states() == [("TRIGGERED", None)] * 2


def test_alert_recovery_alert_recovery_in_one_batch(bench: Bench) -> None:
    bench.run(*(bench.item((kind, "a", at)) for at, kind in enumerate([ALERT, RECOVERY, ALERT, RECOVERY, RECOVERY])))
    rows = bench.stored("a")
    assert [row["event_type"] for row in rows] == ["ALERT", "RECOVERY", "ALERT", "RECOVERY"]
    assert rows[0]["alert_id"] == rows[1]["alert_id"] != rows[2]["alert_id"] == rows[3]["alert_id"]
    assert bench.alert_states() == [("RESOLVED", "RECOVERED")] * 2


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        (Scope("domain"), True),
        (Scope("domain", "workspace", ("other", "project")), True),
        (Scope("domain", "elsewhere"), False),
        (Scope("domain", "workspace", ("other",)), False),
        (Scope("domain", "workspace", ()), False),
        (Scope("elsewhere"), False),
    ],
)
def test_the_state_of_an_alert_is_for_those_who_may_see_it(bench: Bench, scope: Scope, seen: bool) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    alert_id = bench.stored("a")[0]["alert_id"]
    assert bench.alerts.state(scope, alert_id) is (AlertState.TRIGGERED if seen else None)
    bench.run(bench.item((RECOVERY, "a", 1)))
    assert bench.alerts.state(scope, alert_id) is (AlertState.RESOLVED if seen else None)
    assert bench.alerts.state(scope, "alert-000000000000") is None


def test_the_same_within_one_payload(bench: Bench) -> None:
    (result,) = bench.run(bench.item((ALERT, "a", 0), (RECOVERY, "a", 1), (ALERT, "a", 2), (RECOVERY, "never", 3)))
    assert isinstance(result, CreateResult)
    assert len(result.event_ids) == 3
    assert result.unmatched == ("never",)
    assert bench.alert_states() == [("RESOLVED", "RECOVERED"), ("TRIGGERED", None)]


def test_a_superseded_alert_is_closed(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    bench.run(bench.item((ALERT, "a", 601)))
    assert bench.alert_states() == [("RESOLVED", "SUPERSEDED"), ("TRIGGERED", None)]


def test_a_key_sent_again_stores_nothing_new(bench: Bench) -> None:
    (first,) = bench.run(bench.item((ALERT, "a", 0), claim="k"))
    (again,) = bench.run(bench.item((ALERT, "a", 5), claim="k"))
    assert isinstance(first, CreateResult)
    assert again == CreateResult(first.event_ids, duplicate=True)
    assert len(bench.stored("a")) == 1


def test_the_same_key_twice_in_one_batch(bench: Bench) -> None:
    first, again = bench.run(bench.item((ALERT, "a", 0), claim="k"), bench.item((ALERT, "a", 0), claim="k"))
    assert isinstance(first, CreateResult)
    assert again == CreateResult(first.event_ids, duplicate=True)


def test_the_same_key_with_another_payload_is_refused(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0), claim="k", digest="one"))
    (again,) = bench.run(bench.item((ALERT, "b", 0), claim="k", digest="two"))
    assert isinstance(again, AlreadyExists)
    assert not bench.stored("b")


def test_a_key_is_remembered_of_a_delivery_without_events(bench: Bench) -> None:
    (nothing,) = bench.run(bench.item(claim="k", digest="one"))
    assert nothing == CreateResult(())
    (again,) = bench.run(bench.item(claim="k", digest="one"))
    assert again == CreateResult((), duplicate=True)
    (other,) = bench.run(bench.item((ALERT, "a", 0), claim="k", digest="two"))
    assert isinstance(other, AlreadyExists)
    assert bench.stored("a") == []


def test_a_key_of_a_recovery_that_was_not_stored_does_not_resolve_a_later_alert(bench: Bench) -> None:
    bench.run(bench.item((RECOVERY, "a", 0), claim="k"))
    bench.run(bench.item((ALERT, "a", 1)))
    bench.run(bench.item((RECOVERY, "a", 2), claim="k"))
    assert bench.alert_states() == [("TRIGGERED", None)]


class Crash(Exception):
    """The process died here."""


def dying(store: Any, method: str) -> Any:
    """The store, which dies instead of doing `method`."""

    class Dying:
        def __getattr__(self, name: str) -> Any:
            if name == method:
                raise Crash(name)
            return getattr(store, name)

    return Dying()


STEPS = [
    ("claims", "add"),
    ("alerts", "open"),
    ("conditions", "save"),
    ("events", "insert"),
    ("alerts", "close"),
    ("conditions", "settle"),
    ("claims", "complete"),
]


@pytest.mark.parametrize(("store", "method"), STEPS)
def test_a_crash_between_any_two_steps_is_mended_by_sending_again(bench: Bench, store: str, method: str) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    batch = [bench.item((RECOVERY, "a", 1), claim="r"), bench.item((ALERT, "b", 1), claim="b")]
    with pytest.raises(Crash):
        bench.committer(**{store: dying(getattr(bench, store), method)})(batch)
    results = bench.run(bench.item((RECOVERY, "a", 1), claim="r"), bench.item((ALERT, "b", 1), claim="b"))
    bench.commit.recover(NOON + timedelta(days=1))
    assert all(isinstance(result, CreateResult) and len(result.event_ids) == 1 for result in results)
    assert [row["event_type"] for row in bench.stored("a")] == ["ALERT", "RECOVERY"]
    assert len({row["alert_id"] for row in bench.stored("a")}) == 1
    assert len(bench.stored("b")) == 1
    assert bench.alert_states() == [("RESOLVED", "RECOVERED"), ("TRIGGERED", None)]
    assert not bench.conditions.pending(NOON + timedelta(days=2))


@pytest.mark.parametrize(("store", "method"), STEPS[4:6])
def test_a_crash_after_the_recovery_was_stored_is_mended_at_start(bench: Bench, store: str, method: str) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    with pytest.raises(Crash):
        bench.committer(**{store: dying(getattr(bench, store), method)})([bench.item((RECOVERY, "a", 1))])
    assert bench.commit.recover(NOON + timedelta(seconds=30)) == 0
    assert bench.commit.recover(NOON + timedelta(days=1)) == 1
    assert bench.alert_states() == [("RESOLVED", "RECOVERED")]
    bench.run(bench.item((ALERT, "a", 2)))
    assert len({row["alert_id"] for row in bench.stored("a")}) == 2


def test_a_crash_before_the_recovery_was_stored_leaves_the_alert_open(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    with pytest.raises(Crash):
        bench.committer(events=dying(bench.events, "insert"))([bench.item((RECOVERY, "a", 1))])
    bench.commit.recover(NOON + timedelta(days=1))
    assert bench.alert_states() == [("TRIGGERED", None)]
    bench.run(bench.item((RECOVERY, "a", 2)))
    assert bench.alert_states() == [("RESOLVED", "RECOVERED")]


def test_who_loses_a_condition_to_another_replica_decides_again(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    other = bench.committer()

    class Slow:
        """Between this replica's look and its write, another one resolves the alert."""

        done = False

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.conditions, name)

        def save(self, rows: Any) -> list[bool]:
            if not self.done:
                self.done = True
                other([bench.item((RECOVERY, "a", 1))])
            return bench.conditions.save(rows)

    bench.commit = bench.committer(conditions=Slow())
    bench.run(bench.item((ALERT, "a", 2)))
    rows = bench.stored("a")
    assert [row["event_type"] for row in rows] == ["ALERT", "ALERT", "RECOVERY"] or len(rows) == 3
    assert len({row["alert_id"] for row in rows}) == 2
    assert bench.alert_states() == [("RESOLVED", "RECOVERED"), ("TRIGGERED", None)]


def test_an_alert_that_meets_a_recovery_on_another_replica_opens_the_next(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))

    class Between:
        """The other replica's alert comes after this one has noted its recovery and before it stores it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.events, name)

        def insert(self, events: Any) -> Any:
            bench.run(bench.item((ALERT, "a", 2)))
            return bench.events.insert(events)

    bench.committer(events=Between())([bench.item((RECOVERY, "a", 1))])
    assert bench.alert_states() == [("RESOLVED", "RECOVERED"), ("TRIGGERED", None)]
    opened, recovered, again = sorted(bench.stored("a"), key=lambda row: row["created_at"])
    assert opened["alert_id"] == recovered["alert_id"] != again["alert_id"]
    bench.run(bench.item((RECOVERY, "a", 3)))
    assert bench.alert_states() == [("RESOLVED", "RECOVERED")] * 2


def test_a_closing_is_left_undone_for_a_minute_from_its_receipt_however_old_its_event(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    with pytest.raises(Crash):
        bench.committer(alerts=dying(bench.alerts, "close"))([bench.item((RECOVERY, "a", 100))])
    assert bench.commit.recover(NOON + timedelta(seconds=130)) == 0
    assert bench.commit.recover(NOON + timedelta(seconds=161)) == 1


@pytest.mark.parametrize(
    "state",
    [{"state": "TRIGGERED"}, {"state": None}, {"state": "FOO"}, {"state": []}, {"resolved_at": "once"}],
    ids=str,
)
def test_an_upstream_alert_is_taken_over(bench: Bench, state: dict[str, Any]) -> None:
    owner = {"domain_id": "domain", "workspace_id": "workspace", "project_id": "project", "webhook_id": "webhook"}
    bench.database["alert"].insert_one({"alert_id": "alert-old", **state, **owner})
    for minutes, kind in [(-90, "ALERT"), (-80, "ALERT"), (-70, "RECOVERY")]:
        bench.database["event"].insert_one(
            {
                "event_id": f"event{minutes}",
                "event_key": "a",
                "event_type": kind,
                "alert_id": "alert-old",
                "created_at": NOON + timedelta(minutes=minutes),
                **owner,
            }
        )
    bench.run(bench.item((RECOVERY, "a", 0)))
    assert bench.stored("a")[-1]["alert_id"] == "alert-old"
    assert bench.alert_states() == [("RESOLVED", "RECOVERED")]


def test_nobody_looks_for_the_past_of_a_webhook_that_upstream_never_knew(bench: Bench) -> None:
    def look(_: object) -> None:
        raise AssertionError("asked in vain")

    events = SimpleNamespace(insert=bench.events.insert, existing=bench.events.existing, newest_alerts=look)
    commit = bench.committer(events=events)
    known, ours = bench.item((ALERT, "a", 0)), bench.item((ALERT, "b", 0))
    ours.entries[0].has_past = False
    assert isinstance(commit([ours])[0], CreateResult)
    with pytest.raises(AssertionError, match="in vain"):
        commit([known])


def test_a_failing_database_is_the_callers_to_know(bench: Bench) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            def fail(*_: Any) -> Any:
                raise Unavailable

            return fail

    with pytest.raises(Unavailable):
        bench.committer(conditions=Away())([bench.item((ALERT, "a", 0))])
