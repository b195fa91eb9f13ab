"""Batches of creates on a real mongod: first and repeated attempts, crashes, other replicas."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from event_service.alerts.changes import AlertChanges
from event_service.alerts.transitions import AlertChange, acknowledge, expire, reopen, resolve
from event_service.errors import AlreadyExists, TooLarge, Unavailable
from event_service.events.alert_rules import AlertRules, condition_id_of
from event_service.events.committer import Committer
from event_service.events.event_builder import EncodedEvent, new_event_id
from event_service.events.write_request import CreateResult, IdempotencyRequest, PendingEvent, WriteRequest
from event_service.model.condition import Condition, ConditionKey
from event_service.model.event import Event, EventDraft, EventType
from event_service.model.scope import Scope
from event_service.store.alert_reader import AlertReader
from event_service.store.alerts import AlertStore, StoredAlert
from event_service.store.client import Database
from event_service.store.conditions import ConditionStore
from event_service.store.event_writer import EventWriter
from event_service.store.idempotency_keys import IdempotencyStore
from event_service.store.transaction import Conflict, transaction
from event_service.wire.event_info import encode_event

pytestmark = pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)  # mongomock has no transactions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RULES = AlertRules(duplicate_event_time=timedelta(seconds=600))


class Bench:
    """A committer over one database, and creates to feed it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        for name in {"alert", "condition", "event", "idempotency_key", "event_rollup"} - set(
            database.list_collection_names()
        ):
            database.create_collection(name)
        self.conditions = ConditionStore(database, 5000)
        self.alerts = AlertStore(database, 5000)
        self.events = EventWriter(database, 5000)
        self.records = IdempotencyStore(database, 5000)
        self.commit = self.committer()
        self.changes = AlertChanges(
            transaction=partial(transaction, database),
            alerts=self.alerts,
            conditions=self.conditions,
            events=self.events,
        )

    def committer(self, **replaced: Any) -> Committer:
        parts: dict[str, Any] = {
            "transaction": partial(transaction, self.database),
            "conditions": self.conditions,
            "alerts": self.alerts,
            "events": self.events,
            "records": self.records,
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

    def item(self, *events: tuple[EventType, str, float], key: str = "", digest: str = "d") -> WriteRequest:
        request = IdempotencyRequest(key, digest, NOON + timedelta(days=1)) if key else None
        return WriteRequest([self.entry(*event) for event in events], RULES, request)

    def change(self, alert_id: str, change: str, seconds: float = 0) -> AlertChange:
        """Change an alert as one of CHANGES."""
        now = NOON + timedelta(seconds=seconds)

        def decide(stored: StoredAlert, condition: Condition | None) -> AlertChange:
            return CHANGES[change](stored, condition, now)

        return self.changes.change(Scope("domain"), alert_id, now, decide)

    def run(self, *items: WriteRequest, commit: Committer | None = None) -> list[CreateResult | Exception]:
        """Write a batch, and the rest of each create that is too large for one transaction."""
        outcomes = []
        for item, first in zip(items, (commit or self.commit)(items), strict=True):
            outcome = first
            while outcome is None:
                (outcome,) = (commit or self.commit)([item])
            outcomes.append(outcome)
        return outcomes

    def alert_states(self) -> list[tuple[str, str | None]]:
        return sorted((row["state"], row.get("resolved_by")) for row in self.database["alert"].find())

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        """Return all documents of every collection."""
        names = self.database.list_collection_names()
        return {name: list(self.database[name].find().sort("_id")) for name in names}

    def stored(self, key: str) -> list[dict[str, Any]]:
        return list(self.database["event"].find({"event_key": key}).sort("_id"))


CHANGES: dict[str, Callable[[StoredAlert, Condition | None, datetime], AlertChange]] = {
    "resolve": lambda stored, condition, now: resolve(stored.reference, stored.state, condition, now, "kim"),
    "acknowledge": lambda stored, _condition, now: acknowledge(stored.state, now, "kim"),
    "reopen": lambda stored, condition, now: reopen(stored.reference, stored.state, condition, now, "kim"),
    "expire": lambda stored, condition, now: expire(stored.reference, stored.state, condition, now),
}

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
def test_alert_state_is_scoped(bench: Bench, scope: Scope, seen: bool) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    alert_id = bench.stored("a")[0]["alert_id"]
    reader = AlertReader(bench.database)
    assert (reader.get(scope, alert_id) or {}).get("state") == ("TRIGGERED" if seen else None)
    bench.run(bench.item((RECOVERY, "a", 1)))
    assert (reader.get(scope, alert_id) or {}).get("state") == ("RESOLVED" if seen else None)
    assert reader.get(scope, "alert-000000000000") is None


def test_alert_and_recovery_within_one_payload(bench: Bench) -> None:
    (result,) = bench.run(bench.item((ALERT, "a", 0), (RECOVERY, "a", 1), (ALERT, "a", 2), (RECOVERY, "never", 3)))
    assert isinstance(result, CreateResult)
    assert len(result.event_ids) == 3
    assert result.unmatched == ("never",)
    assert bench.alert_states() == [("RESOLVED", "RECOVERED"), ("TRIGGERED", None)]


def test_superseded_alert_is_closed(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    bench.run(bench.item((ALERT, "a", 601)))
    assert bench.alert_states() == [("RESOLVED", "SUPERSEDED"), ("TRIGGERED", None)]


def test_repeated_key_stores_nothing_new(bench: Bench) -> None:
    (first,) = bench.run(bench.item((ALERT, "a", 0), key="k"))
    (again,) = bench.run(bench.item((ALERT, "a", 5), key="k"))
    assert isinstance(first, CreateResult)
    assert again == CreateResult(first.event_ids, duplicate=True)
    assert len(bench.stored("a")) == 1


def test_same_key_twice_in_one_batch(bench: Bench) -> None:
    first, again = bench.run(bench.item((ALERT, "a", 0), key="k"), bench.item((ALERT, "a", 0), key="k"))
    assert isinstance(first, CreateResult)
    assert again == CreateResult(first.event_ids, duplicate=True)


def test_same_key_with_another_payload_is_refused(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0), key="k", digest="one"))
    (again,) = bench.run(bench.item((ALERT, "b", 0), key="k", digest="two"))
    assert isinstance(again, AlreadyExists)
    assert not bench.stored("b")


def test_key_of_a_delivery_without_events_is_recorded(bench: Bench) -> None:
    (nothing,) = bench.run(bench.item(key="k", digest="one"))
    assert nothing == CreateResult(())
    (again,) = bench.run(bench.item(key="k", digest="one"))
    assert again == CreateResult((), duplicate=True)
    (other,) = bench.run(bench.item((ALERT, "a", 0), key="k", digest="two"))
    assert isinstance(other, AlreadyExists)
    assert bench.stored("a") == []


def test_repeated_unmatched_recovery_does_not_resolve_a_later_alert(bench: Bench) -> None:
    bench.run(bench.item((RECOVERY, "a", 0), key="k"))
    bench.run(bench.item((ALERT, "a", 1)))
    bench.run(bench.item((RECOVERY, "a", 2), key="k"))
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
    ("records", "find"),
    ("conditions", "find"),
    ("alerts", "open"),
    ("conditions", "save"),
    ("events", "insert"),
    ("alerts", "change"),
    ("records", "save"),
]


@pytest.mark.parametrize(("store", "method"), STEPS)
def test_crash_between_any_two_steps_stores_nothing(bench: Bench, store: str, method: str) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    before = bench.contents()
    batch = [bench.item((RECOVERY, "a", 1), key="r"), bench.item((ALERT, "b", 1), key="b")]
    with pytest.raises(Crash):
        bench.committer(**{store: dying(getattr(bench, store), method)})(batch)
    assert bench.contents() == before
    results = bench.run(*batch)
    assert all(isinstance(result, CreateResult) and len(result.event_ids) == 1 for result in results)
    assert [row["event_type"] for row in bench.stored("a")] == ["ALERT", "RECOVERY"]
    assert len({row["alert_id"] for row in bench.stored("a")}) == 1
    assert len(bench.stored("b")) == 1
    assert bench.alert_states() == [("RESOLVED", "RECOVERED"), ("TRIGGERED", None)]


class Interrupted:
    """A store before whose method something else happens, the first times."""

    def __init__(self, store: Any, method: str, meanwhile: Callable[[], object], times: int = 1) -> None:
        self._store, self._method, self._meanwhile, self.left = store, method, meanwhile, times

    def __getattr__(self, name: str) -> Any:
        if name == self._method and self.left:
            self.left -= 1
            self._meanwhile()
        return getattr(self._store, name)


def test_a_batch_is_decided_again_after_another_replica_was_faster(bench: Bench) -> None:
    bench.run(bench.item((ALERT, "a", 0)))
    other = bench.committer()
    faster = Interrupted(bench.conditions, "save", lambda: other([bench.item((RECOVERY, "a", 1))]))
    bench.committer(conditions=faster)([bench.item((ALERT, "a", 2))])
    first, recovery, second = sorted(bench.stored("a"), key=lambda row: row["created_at"])
    assert first["alert_id"] == recovery["alert_id"] != second["alert_id"]
    assert bench.alert_states() == [("RESOLVED", "RECOVERED"), ("TRIGGERED", None)]


def test_a_locked_condition_delays_no_other_create(bench: Bench) -> None:
    """Another replica holds one condition in a transaction that it does not end."""
    bench.run(bench.item((ALERT, "a", 0)), bench.item((ALERT, "b", 0)))
    other = bench.database.client.start_session()
    other.start_transaction()
    bench.database["condition"].update_one({"event_key": "a"}, {"$set": {"was_firing": True}}, session=other)
    batch = [bench.item((RECOVERY, key, 1)) for key in "bacd"]
    results = bench.run(*batch)
    assert [type(result) for result in results] == [CreateResult, Unavailable, CreateResult, CreateResult]
    assert bench.alert_states() == [("RESOLVED", "RECOVERED"), ("TRIGGERED", None)]
    other.abort_transaction()
    (result,) = bench.run(batch[1])
    assert isinstance(result, CreateResult)
    assert bench.alert_states() == [("RESOLVED", "RECOVERED")] * 2


def test_a_refused_event_fails_its_create_only(bench: Bench) -> None:
    huge = bench.item((ALERT, "huge", 0), (ALERT, "beside", 0))
    huge.entries[0].built.event.draft.raw_data = {"text": "x" * 17_000_000}
    results = bench.run(bench.item((ALERT, "a", 0), key="a"), huge, bench.item((ALERT, "b", 0)))
    assert [type(result) for result in results] == [CreateResult, TooLarge, CreateResult]
    assert [len(bench.stored(key)) for key in ("a", "huge", "beside", "b")] == [1, 0, 0, 1]
    assert bench.alert_states() == [("TRIGGERED", None)] * 2


def large(bench: Bench, count: int, key: str = "") -> WriteRequest:
    """Return a create of alerts with 3 KB each, and an unmatched recovery."""
    item = bench.item(*((ALERT, f"key-{number}", 0) for number in range(count)), (RECOVERY, "never", 0), key=key)
    for entry in item.entries:
        entry.built.event.draft.raw_data = {"text": "x" * 3_000}
        entry.built = EncodedEvent(entry.built.event, encode_event(entry.built.event))
    return item


def test_a_create_too_large_for_one_transaction_is_written_in_parts(bench: Bench) -> None:
    (result,) = bench.run(large(bench, 1200))
    assert isinstance(result, CreateResult)
    assert (len(set(result.event_ids)), result.unmatched) == (1200, ("never",))
    assert bench.database["event"].count_documents({}) == 1200
    assert bench.alert_states() == [("TRIGGERED", None)] * 1200


@pytest.mark.parametrize(("store", "method"), STEPS)
def test_a_create_in_parts_goes_on_after_a_crash(bench: Bench, store: str, method: str) -> None:
    calls: list[int] = []

    def dying_at_the_second() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Crash

    interrupted = Interrupted(getattr(bench, store), method, dying_at_the_second, times=2)
    with pytest.raises(Crash):
        bench.run(large(bench, 1200, "k"), commit=bench.committer(**{store: interrupted}))
    assert 0 < bench.database["event"].count_documents({}) < 1200
    results = [bench.run(large(bench, 1200, "k"))[0] for _ in range(2)]
    assert bench.database["event"].count_documents({}) == 1200
    assert bench.alert_states() == [("TRIGGERED", None)] * 1200
    first, again = results
    assert isinstance(first, CreateResult)
    assert isinstance(again, CreateResult)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.event_ids == again.event_ids
    assert set(first.event_ids) == set(bench.database["event"].distinct("event_id"))


def test_a_taken_event_id_is_replaced(bench: Bench) -> None:
    (first,) = bench.run(bench.item((ALERT, "a", 0)))
    assert isinstance(first, CreateResult)
    item = bench.item((ALERT, "b", 0), (ALERT, "b", 1), key="k")
    item.entries[1].rename(first.event_ids[0])
    (second,) = bench.run(item)
    assert isinstance(second, CreateResult)
    assert len({*first.event_ids, *second.event_ids}) == 3
    assert sorted(row["event_id"] for row in bench.stored("b")) == sorted(second.event_ids)


def test_an_alert_left_without_its_condition_is_replaced(bench: Bench) -> None:
    """A backup that was made of a running service may hold an alert that is newer than its condition."""
    bench.run(bench.item((ALERT, "a", 0)))
    bench.database["condition"].delete_many({})
    item = bench.item((ERROR, "a", 1))
    item.entries[0].has_past = False
    (result,) = bench.run(item)
    assert isinstance(result, CreateResult)
    assert bench.alert_states() == [("ERROR", None)]


def test_an_event_made_a_recovery_may_become_an_alert_again(bench: Bench) -> None:
    """Decisions of one attempt do not bind the next."""
    bench.run(bench.item((ALERT, "a", 0)))
    bench.database["condition"].update_one({}, {"$set": {"was_firing": True}})
    item = bench.item((ALERT, "a", 1))
    item.entries[0].built.event.draft.recovers_if_troubled = True

    def meanwhile() -> None:
        bench.database["condition"].update_one({}, {"$set": {"was_firing": False}})
        raise Conflict

    bench.committer(alerts=Interrupted(bench.alerts, "open", meanwhile))([item])
    assert [row["event_type"] for row in bench.stored("a")] == ["ALERT", "ALERT"]


def test_a_lost_connection_is_tried_once_more(bench: Bench) -> None:
    def lose() -> None:
        raise Conflict(disconnected=True)

    (result,) = bench.committer(records=Interrupted(bench.records, "save", lose))([bench.item((ALERT, "a", 0))])
    assert isinstance(result, CreateResult)
    with pytest.raises(Unavailable):
        bench.committer(records=Interrupted(bench.records, "save", lose, 2))([bench.item((ALERT, "b", 0))])
    assert (len(bench.stored("a")), len(bench.stored("b"))) == (1, 0)


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


def test_webhook_of_this_service_is_not_searched_for_past_events(bench: Bench) -> None:
    def look(_: object) -> None:
        raise AssertionError("asked in vain")

    events = SimpleNamespace(insert=bench.events.insert, newest_alerts=look)
    commit = bench.committer(events=events)
    known, ours = bench.item((ALERT, "a", 0)), bench.item((ALERT, "b", 0))
    ours.entries[0].has_past = False
    assert isinstance(commit([ours])[0], CreateResult)
    with pytest.raises(AssertionError, match="in vain"):
        commit([known])


def test_database_failure_reaches_the_caller(bench: Bench) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            def fail(*_: Any) -> Any:
                raise Unavailable

            return fail

    with pytest.raises(Unavailable):
        bench.committer(conditions=Away())([bench.item((ALERT, "a", 0))])
