"""Writes one batch of creates: conditions and alerts, then the events, then what recoveries resolve.

Each step is one write per collection and may be done again: a crash between two steps is mended by the sender's
retry, by the next event of the same condition, or by `recover` at start. The batch runs in the writer's thread.

    claims read, added     which creates were sent before under the same idempotency key
    conditions read        one look-up for all keys of the batch
    alerts opened          their `_id`s follow from the condition: opening one twice is the same document
    conditions saved       compare-and-set; whoever loses is decided again in the next batch
    events inserted        `_id`s are chosen before, so a second attempt finds its first
    alerts closed, conditions settled, claims completed
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

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
from event_service.events.idempotency import Claims, Idempotency
from event_service.events.write_request import CreateResult, Outcome, PendingEvent, WriteRequest
from event_service.model.condition import (
    Alert,
    AlertState,
    Condition,
    ConditionKey,
    PastEvent,
    Resolution,
    ResolutionReason,
)
from event_service.model.event import Event, EventDraft, EventType
from event_service.store.event_writer import Inserted, NewEvent
from event_service.wire.event_info import encode_event

# A batch that is older than this has either settled its conditions or will not do so any more.
PENDING_AFTER = timedelta(seconds=60)

# A resolution that is younger than this is probably being carried out by another replica at this moment.
IN_FLIGHT = timedelta(seconds=5)


class Conditions(Protocol):
    """What a commit needs of `store/conditions.py`."""

    def find(self, condition_ids: Iterable[str]) -> dict[str, Condition]: ...
    def save(self, conditions: Sequence[Condition]) -> list[bool]: ...
    def settle(self, conditions: Sequence[Condition]) -> None: ...
    def pending(self, before: datetime) -> list[Condition]: ...


class Alerts(Protocol):
    """What a commit needs of `store/alerts.py`."""

    def open(self, alerts: Sequence[Alert]) -> None: ...
    def close(self, resolutions: Sequence[Resolution]) -> None: ...
    def states(self, alert_ids: Iterable[str]) -> dict[str, tuple[AlertState, datetime | None]]: ...


class Events(Protocol):
    """What a commit needs of `store/event_writer.py`."""

    def insert(self, events: Sequence[NewEvent]) -> list[Inserted | EventServiceError]: ...
    def existing(self, object_ids: Iterable[str]) -> set[str]: ...
    def newest_alerts(self, keys: Sequence[ConditionKey]) -> dict[ConditionKey, PastEvent]: ...


class Committer:
    """The commit step of the group-commit writer: one writer thread calls it.

    `recover` may run in another thread meanwhile. They share nothing but the database, where compare-and-set keeps them
    apart as it keeps the writers and the mending of several replicas apart.
    """

    def __init__(
        self,
        *,
        conditions: Conditions,
        alerts: Alerts,
        events: Events,
        claims: Claims,
        alert_rate_limit: AlertRateLimit | None = None,
    ) -> None:
        self._surges = alert_rate_limit or AlertRateLimit()
        self._conditions = conditions
        self._alerts = alerts
        self._events = events
        self._claims = Idempotency(claims, events)

    def __call__(self, batch: Sequence[WriteRequest]) -> list[Outcome]:
        """Writes a batch.

        Returns:
            For each item its result, its error, or RETRY: what is left of it belongs into the next batch.

        Raises:
            EventServiceError: the database failed; nothing of the batch is promised.
        """
        settled = self._claims.settle(batch)
        working = [item for item, outcome in zip(batch, settled, strict=True) if outcome is None]
        failures: dict[int, EventServiceError] = {}
        if working:
            rows, saved = self._tie_to_alerts(working)
            failures = self._insert(working, saved)
            self._close(rows[condition_id] for condition_id in saved)
            self._claims.complete(item for item in working if item.claim and item.finished)
        return [
            outcome if outcome is not None else failures.get(id(item)) or _result(item)
            for item, outcome in zip(batch, settled, strict=True)
        ]

    def recover(self, now: datetime) -> int:
        """Carries out resolutions that a process decided and died before carrying out. Returns how many rows it mended."""
        rows = self._adopt(self._conditions.pending(now - PENDING_AFTER))
        self._alerts.close([resolution for row in rows for resolution in row.resolutions])
        self._conditions.settle(rows)
        return len(rows)

    def _tie_to_alerts(self, items: Sequence[WriteRequest]) -> tuple[dict[str, Condition], set[str]]:
        """Decides every entry that can be decided, opens alerts and saves the conditions.

        Returns:
            The conditions after the batch, and the ids of those that could be saved.
        """
        entries = [(item, entry) for item in items for entry in item.entries if entry.stored is None]
        if not entries:
            return {}, set()
        now = max(entry.built.event.created_at for _, entry in entries)
        first: dict[str, PendingEvent] = {}
        for _, entry in entries:
            first.setdefault(entry.condition_id, entry)
        rows = self._rows(first, now)
        opened: list[Alert] = []
        closed: set[str] = set()
        for item, entry in entries:
            # Once a recovery has resolved a condition, what follows for it waits for the next batch: the row
            # is only closed when the recovery itself is stored.
            if entry.condition_id in closed:
                entry.decision = None
                continue
            event, before = entry.built.event, rows[entry.condition_id]
            row, decision = decide(before, event.draft, event.created_at, entry.object_id, item.rules)
            entry.suppressing_id = ""
            if decision.opens is not None:
                if item.rules.alerts_per_minute and not before.is_open and not self._admits(entry, decision, item):
                    rows[entry.condition_id] = suppressed(before, row)
                    self._suppress(entry, item, rows, closed, opened)
                    continue
                opened.append(_new_alert(event, event.draft, decision))
            rows[entry.condition_id] = row
            entry.decision = decision
            if decision.resolutions and decision.resolves:
                closed.add(entry.condition_id)
        self._alerts.open(opened)
        written = list(rows.values())
        outcomes = self._conditions.save([_open_until_confirmed(row, now) for row in written])
        saved = {row.condition_id for row, ok in zip(written, outcomes, strict=True) if ok}
        return rows, saved

    def _admits(self, entry: PendingEvent, decision: Decision, item: WriteRequest) -> bool:
        """Whether the entry may open its alert. It is counted once, however often it is decided."""
        if decision.opens is AlertState.RESOLVED:  # an old event: nobody is alerted
            return True
        if entry.admitted is None:
            entry.admitted = self._surges.admits(entry.key, entry.built.event.created_at, item.rules.alerts_per_minute)
        return entry.admitted

    def _suppress(
        self,
        entry: PendingEvent,
        item: WriteRequest,
        rows: dict[str, Condition],
        closed: Collection[str],
        opened: list[Alert],
    ) -> None:
        """Ties the entry to the alert of its webhook's surge, which is opened where it is not; see `alert_rate_limit.py`."""
        event, suppressing_id = entry.built.event, suppressing_condition_id(entry.key)
        entry.decision, entry.suppressing_id = None, suppressing_id
        if suppressing_id in closed:
            return
        if suppressing_id not in rows:
            surge = replace(entry, key=suppressing_key(entry.key), condition_id=suppressing_id)
            rows.update(self._rows({suppressing_id: surge}, event.created_at))
        draft = suppressing_alert(item.rules.alerts_per_minute)
        rows[suppressing_id], decision = decide(
            rows[suppressing_id], draft, event.created_at, entry.object_id, item.rules
        )
        if decision.opens is not None:
            opened.append(_new_alert(event, draft, decision))
        entry.decision = Decision(event.draft.event_type, decision.alert)

    def _rows(self, first: Mapping[str, PendingEvent], now: datetime) -> dict[str, Condition]:
        """The row of every condition of the batch; new ones take over what an upstream database knows.

        Args:
            first: by condition, the first entry of the batch that is about it.
            now: when the newest entry was received.
        """
        known = self._conditions.find(first)
        # What another replica is just resolution counts as closed for an alert that comes after it. A recovery may be the
        # same one, sent again after a failure: for it only what is stored counts.
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
        """Takes over resolutions that other processes decided: those whose event is stored, and all of `trusted` rows."""
        rows = list(rows)
        doubtful = {
            resolution.event_object_id
            for row in rows
            if row.condition_id not in trusted
            for resolution in row.resolutions
            if resolution.reason is ResolutionReason.RECOVERED
        }
        missing = doubtful - self._events.existing(doubtful)
        return [_without_closings(row, missing) if row.resolutions else row for row in rows]

    def _insert(self, items: Sequence[WriteRequest], saved: set[str]) -> dict[int, EventServiceError]:
        """Stores the events whose condition was saved. Returns the errors by `id(item)`."""
        ready: list[tuple[WriteRequest, PendingEvent]] = []
        for item in items:
            for entry in item.entries:
                if entry.stored is None and entry.decision is not None and _rows_saved(entry, saved):
                    if entry.decision.stored:
                        ready.append((item, entry))
                    else:
                        entry.stored = False
        failures: dict[int, EventServiceError] = {}
        for (item, entry), outcome in zip(ready, self._events.insert([_row(entry) for _, entry in ready]), strict=True):
            if isinstance(outcome, EventServiceError):
                failures[id(item)] = outcome
                # What it was to close stays open: `recover` finds that its event was never stored.
                saved.discard(entry.condition_id)
            elif outcome is Inserted.EVENT_ID_TAKEN:
                entry.rename(new_event_id())
                saved.discard(entry.condition_id)
            else:
                entry.stored = True
                entry.was_stored = outcome is Inserted.WAS_STORED
        return failures

    def _close(self, rows: Iterable[Condition]) -> None:
        done = [row._replace(version=row.version + 1) for row in rows if row.resolutions]
        self._alerts.close([resolution for row in done for resolution in row.resolutions])
        self._conditions.settle(done)


def _without_closings(row: Condition, missing: Collection[str]) -> Condition:
    """The row after its resolutions, but for recoveries that were never stored (`_id`s of their events)."""
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
    """A condition stays open until the recovery that closes it is stored, lest a crash loses the recovery."""
    if not row.resolutions:
        return row
    recovered = any(resolution.reason is ResolutionReason.RECOVERED for resolution in row.resolutions)
    return row._replace(is_open=row.is_open or recovered, pending_since=now)


def _rows_saved(entry: PendingEvent, saved: Collection[str]) -> bool:
    return entry.condition_id in saved and (not entry.suppressing_id or entry.suppressing_id in saved)


def _new_alert(event: Event, draft: EventDraft, decision: Decision) -> Alert:
    if decision.alert is None or decision.opens is None:
        raise AssertionError("an alert is opened only under a name")
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
        raise AssertionError("only decided entries are inserted")
    if decision.event_type is EventType.RECOVERY and built.event.draft.event_type is not EventType.RECOVERY:
        event = replace(built.event, draft=replace(built.event.draft, event_type=EventType.RECOVERY))
        built = entry.built = EncodedEvent(event, encode_event(event))
    return NewEvent(entry.object_id, built.event, decision.alert, built.wire)


def _result(item: WriteRequest) -> CreateResult | Retry:
    stored: list[str] = []
    unmatched: list[str] = []
    duplicate = True
    for entry in item.entries:
        if entry.stored is None:
            return RETRY
        if entry.stored:
            stored.append(entry.built.event.event_id)
            duplicate &= entry.was_stored
        else:
            unmatched.append(entry.built.event.draft.event_key)
    return CreateResult(tuple(stored), bool(stored) and duplicate, tuple(unmatched))
