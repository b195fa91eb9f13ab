"""Write one batch of creates: conditions and alerts, then the events, then the resolutions.

Each step is one write per collection and may be repeated: after a crash between two steps the sender's retry, the next
event of the same condition, or `recover` completes the batch. It runs in the writer thread.

    records read, added    finds creates that were sent before with the same idempotency key
    conditions read        one look-up for all keys of the batch
    alerts opened          their `_id`s depend on the condition only: opening one twice writes the same document
    conditions saved       compare-and-set; the loser is decided again in the next batch
    events inserted        `_id`s are chosen before, so a second attempt finds its first
    alerts closed, conditions settled, records completed
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from event_service.concurrency.group_commit import RETRY, Retry
from event_service.errors import EventServiceError
from event_service.events.alert_rate_limit import (
    AlertRateLimit,
    suppressed,
    suppressing_alert,
    suppressing_condition_id,
    suppressing_key,
)
from event_service.events.alert_rules import Decision, decide, effective_time, urgency_of
from event_service.events.event_builder import EncodedEvent, new_event_id
from event_service.events.idempotency import Idempotency
from event_service.events.write_request import CreateResult, PendingEvent, WriteRequest
from event_service.model.condition import (
    Alert,
    AlertState,
    Condition,
    ResolutionReason,
)
from event_service.model.event import Event, EventDraft, EventType
from event_service.store.alerts import AlertStore
from event_service.store.conditions import ConditionStore
from event_service.store.event_writer import EventWriter, Inserted, NewEvent
from event_service.store.idempotency_keys import IdempotencyStore
from event_service.wire.event_info import encode_event

# An older batch has either settled its conditions or never will.
PENDING_AFTER = timedelta(seconds=60)

# A younger resolution is probably being carried out by another replica at this moment.
IN_FLIGHT = timedelta(seconds=5)


class Committer:
    """The commit step of `GroupCommit`, called by its one thread.

    `recover` may run in another thread meanwhile. The two share only the database, where compare-and-set keeps them
    apart, as it does with several replicas.
    """

    def __init__(
        self,
        *,
        conditions: ConditionStore,
        alerts: AlertStore,
        events: EventWriter,
        records: IdempotencyStore,
        alert_rate_limit: AlertRateLimit | None = None,
    ) -> None:
        self._alert_rate_limit = alert_rate_limit or AlertRateLimit()
        self._conditions = conditions
        self._alerts = alerts
        self._events = events
        self._idempotency = Idempotency(records, events)

    def __call__(self, batch: Sequence[WriteRequest]) -> list[CreateResult | Exception | Retry]:
        """Write a batch.

        Returns:
            For each create its result, its error, or RETRY: the rest of it belongs into the next batch.

        Raises:
            EventServiceError: the database failed; the outcome of the whole batch is unknown.
        """
        decided = self._idempotency.begin(batch)
        working = [request for request, outcome in zip(batch, decided, strict=True) if outcome is None]
        failures: dict[int, EventServiceError] = {}
        if working:
            rows, saved = self._tie_to_alerts(working)
            failures = self._insert(working, saved)
            self._close(rows[condition_id] for condition_id in saved)
            self._idempotency.complete(request for request in working if request.idempotency and request.finished)
        return [
            outcome if outcome is not None else failures.get(id(request)) or _result(request)
            for request, outcome in zip(batch, decided, strict=True)
        ]

    def recover(self, now: datetime) -> int:
        """Carry out resolutions that a process decided before it died. Return the number of conditions recovered."""
        rows = self._adopt(self._conditions.pending(now - PENDING_AFTER))
        # Alerts first: a crash in between leaves the condition pending, and the next run repeats both.
        self._alerts.close([resolution for row in rows for resolution in row.resolutions])
        self._conditions.settle(rows)
        return len(rows)

    def _tie_to_alerts(self, requests: Sequence[WriteRequest]) -> tuple[dict[str, Condition], set[str]]:
        """Decide every event that can be decided, open alerts and save the conditions.

        Returns:
            The conditions after the batch by id, and the ids of those that could be saved.
        """
        entries = [(request, entry) for request in requests for entry in request.entries if entry.stored is None]
        if not entries:
            return {}, set()
        now = max(entry.built.event.created_at for _, entry in entries)
        first: dict[str, PendingEvent] = {}
        for _, entry in entries:
            first.setdefault(entry.condition_id, entry)
        rows = self._rows(first, now)
        opened: list[Alert] = []
        closed: set[str] = set()
        for request, entry in entries:
            # After a recovery, further events of its condition wait for the next batch: the row is closed only once
            # the recovery itself is stored.
            if entry.condition_id in closed:
                entry.decision = None
                continue
            event, before = entry.built.event, rows[entry.condition_id]
            row, decision = decide(before, event.draft, event.created_at, entry.object_id, request.rules)
            entry.suppressing_id = ""
            if decision.opens is not None:
                if (
                    request.rules.alerts_per_minute
                    and not before.is_open
                    and not self._admits(entry, decision, request)
                ):
                    rows[entry.condition_id] = suppressed(before, row)
                    self._suppress(entry, request, rows, closed, opened)
                    continue
                opened.append(_new_alert(event, event.draft, decision))
            rows[entry.condition_id] = row
            entry.decision = decision
            if decision.resolutions and decision.resolves:
                closed.add(entry.condition_id)
        # Before the conditions: a saved condition must never name an alert that does not exist.
        self._alerts.open(opened)
        written = list(rows.values())
        outcomes = self._conditions.save([_open_until_confirmed(row, now) for row in written])
        saved = {row.condition_id for row, ok in zip(written, outcomes, strict=True) if ok}
        return rows, saved

    def _admits(self, entry: PendingEvent, decision: Decision, request: WriteRequest) -> bool:
        """Return whether the event may open its alert. It is counted once, even if it is decided again."""
        if decision.opens is AlertState.RESOLVED:  # an outdated event alerts no one
            return True
        if entry.admitted is None:
            entry.admitted = self._alert_rate_limit.admits(
                entry.key, entry.built.event.created_at, request.rules.alerts_per_minute
            )
        return entry.admitted

    def _suppress(
        self,
        entry: PendingEvent,
        request: WriteRequest,
        rows: dict[str, Condition],
        closed: Collection[str],
        opened: list[Alert],
    ) -> None:
        """Tie the event to its webhook's suppressing alert and open that if needed; see `alert_rate_limit.py`."""
        event, suppressing_id = entry.built.event, suppressing_condition_id(entry.key)
        entry.decision, entry.suppressing_id = None, suppressing_id
        if suppressing_id in closed:
            return
        if suppressing_id not in rows:
            first = replace(entry, key=suppressing_key(entry.key), condition_id=suppressing_id)
            rows.update(self._rows({suppressing_id: first}, event.created_at))
        draft = suppressing_alert(request.rules.alerts_per_minute)
        rows[suppressing_id], decision = decide(
            rows[suppressing_id], draft, event.created_at, entry.object_id, request.rules
        )
        if decision.opens is not None:
            opened.append(_new_alert(event, draft, decision))
        entry.decision = Decision(event.draft.event_type, decision.alert)

    def _rows(self, first: Mapping[str, PendingEvent], now: datetime) -> dict[str, Condition]:
        """Return the row of every condition of the batch; new ones take over the alert of an upstream database.

        Args:
            first: condition_id -> the first event of the batch about it.
            now: receipt of the newest event.
        """
        known = self._conditions.find(first)
        # A resolution in flight on another replica counts as done for an alert that follows it. For a recovery, which
        # may be the same one sent again, only a stored resolution counts.
        trusted = {
            condition_id
            for condition_id, row in known.items()
            if row.pending_since is not None
            and now - row.pending_since < IN_FLIGHT
            and first[condition_id].built.event.draft.event_type is not EventType.RECOVERY
        }
        rows = {row.condition_id: row for row in self._adopt(known.values(), trusted)}
        new = {condition_id: entry for condition_id, entry in first.items() if condition_id not in rows}
        with_past = [entry.key for entry in new.values() if entry.has_past]
        # Only a database of upstream holds events without a condition.
        past = self._events.newest_alerts(with_past) if with_past else {}
        states = self._alerts.states(event.alert.alert_id for event in past.values()) if past else {}
        for condition_id, entry in new.items():
            key = entry.key
            row = Condition(condition_id, key.webhook_id, key.event_key)
            if event := past.get(key):
                state, resolved_at = states.get(event.alert.alert_id, (AlertState.TRIGGERED, None))
                row = row._replace(
                    alert=event.alert,
                    is_open=state is not AlertState.RESOLVED,
                    alert_received_at=event.created_at,
                    newest_alert_at=effective_time(event.occurred_at, event.created_at),
                    newest_recovery_at=resolved_at,
                )
            rows[condition_id] = row
        return rows

    def _adopt(self, rows: Iterable[Condition], trusted: Collection[str] = ()) -> list[Condition]:
        """Take over resolutions that other processes decided: those with a stored event, and all of `trusted` rows."""
        rows = list(rows)
        doubtful = {
            resolution.event_object_id
            for row in rows
            if row.condition_id not in trusted
            for resolution in row.resolutions
            if resolution.reason is ResolutionReason.RECOVERED
        }
        missing = doubtful - self._events.existing(doubtful)
        return [_without_missing(row, missing) if row.resolutions else row for row in rows]

    def _insert(self, requests: Sequence[WriteRequest], saved: set[str]) -> dict[int, EventServiceError]:
        """Store the events whose condition was saved. Return the errors by `id(request)`."""
        ready: list[tuple[WriteRequest, PendingEvent]] = []
        for request in requests:
            for entry in request.entries:
                if entry.stored is None and entry.decision is not None and _rows_saved(entry, saved):
                    if entry.decision.stored:
                        ready.append((request, entry))
                    else:
                        entry.stored = False
        failures: dict[int, EventServiceError] = {}
        for (request, entry), outcome in zip(
            ready, self._events.insert([_row(entry) for _, entry in ready]), strict=True
        ):
            if isinstance(outcome, EventServiceError):
                failures[id(request)] = outcome
                # Its alert stays open: `recover` finds that the event was never stored.
                saved.discard(entry.condition_id)
            elif outcome is Inserted.EVENT_ID_TAKEN:  # retried in the next batch under a new id
                entry.rename(new_event_id())
                saved.discard(entry.condition_id)
            else:
                entry.stored = True
                entry.was_stored = outcome is Inserted.WAS_STORED
        return failures

    def _close(self, rows: Iterable[Condition]) -> None:
        # `save` has incremented the version in the database.
        done = [row._replace(version=row.version + 1) for row in rows if row.resolutions]
        self._alerts.close([resolution for row in done for resolution in row.resolutions])
        self._conditions.settle(done)


def _without_missing(row: Condition, missing: Collection[str]) -> Condition:
    """Return the row after its resolutions, except those by recoveries that were never stored (their `_id`s)."""
    kept = tuple(
        resolution
        for resolution in row.resolutions
        if resolution.reason is ResolutionReason.SUPERSEDED or resolution.event_object_id not in missing
    )
    recovered = any(
        resolution.reason is ResolutionReason.RECOVERED and resolution.alert == row.alert for resolution in kept
    )
    return row._replace(resolutions=kept, is_open=row.is_open and not recovered)


def _open_until_confirmed(row: Condition, now: datetime) -> Condition:
    """Keep a condition open until the recovery that closes it is stored, or a crash would lose the recovery."""
    if not row.resolutions:
        return row
    recovered = any(resolution.reason is ResolutionReason.RECOVERED for resolution in row.resolutions)
    return row._replace(is_open=row.is_open or recovered, pending_since=now)


def _rows_saved(entry: PendingEvent, saved: Collection[str]) -> bool:
    return entry.condition_id in saved and (not entry.suppressing_id or entry.suppressing_id in saved)


def _new_alert(event: Event, draft: EventDraft, decision: Decision) -> Alert:
    if decision.alert is None or decision.opens is None:
        raise AssertionError("an alert needs an id before it is opened")
    at = effective_time(draft.occurred_at, event.created_at)
    return Alert(
        reference=decision.alert,
        state=decision.opens,
        urgency=urgency_of(draft.severity),
        severity=draft.severity,
        title=draft.title,
        description=draft.description,
        rule=draft.rule,
        image_url=draft.image_url,
        resources=draft.resources,
        provider=draft.provider,
        account=draft.account,
        webhook_id=event.webhook_id,
        project_id=event.project_id,
        workspace_id=event.workspace_id,
        domain_id=event.domain_id,
        created_at=event.created_at,
        resolved_at=at if decision.opens is AlertState.RESOLVED else None,
    )


def _row(entry: PendingEvent) -> NewEvent:
    decision, built = entry.decision, entry.built
    if decision is None:
        raise AssertionError("only decided events are inserted")
    # The wire bytes hold the event_type, so a changed type needs new ones.
    if decision.event_type is EventType.RECOVERY and built.event.draft.event_type is not EventType.RECOVERY:
        event = replace(built.event, draft=replace(built.event.draft, event_type=EventType.RECOVERY))
        built = entry.built = EncodedEvent(event, encode_event(event))
    return NewEvent(entry.object_id, built.event, decision.alert, built.wire)


def _result(request: WriteRequest) -> CreateResult | Retry:
    stored: list[str] = []
    unmatched: list[str] = []
    duplicate = True
    for entry in request.entries:
        if entry.stored is None:
            return RETRY
        if entry.stored:
            stored.append(entry.built.event.event_id)
            duplicate &= entry.was_stored
        else:
            unmatched.append(entry.built.event.draft.event_key)
    return CreateResult(tuple(stored), bool(stored) and duplicate, unmatched=tuple(unmatched))
