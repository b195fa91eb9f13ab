"""Write one batch of creates in one transaction; see ADR 0003. It runs in the writer thread.

    records read      finds creates that were sent before with the same idempotency key
    conditions read   one look-up for all keys of the batch
    events decided    in their order of arrival
    alerts opened, conditions saved, events inserted, alerts closed, records added
    commit

If another replica was faster, the batch is decided again. If it conflicts several times it is divided, so that one
condition that another replica keeps locked delays no other.
"""

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeAlias

from event_service.errors import EventServiceError, Unavailable
from event_service.events.alert_rate_limit import (
    MINUTE,
    AlertRateLimit,
    minute_of,
    suppress,
    suppressed,
    suppressing_alert,
    suppressing_condition_id,
    suppressing_key,
)
from event_service.events.alert_rules import Decision, decide, effective_time, urgency_of
from event_service.events.event_builder import EncodedEvent, new_event_id
from event_service.events.idempotency import recall
from event_service.events.write_request import CreateResult, PendingEvent, WriteRequest
from event_service.model.condition import (
    MOST_RESOURCES,
    Alert,
    AlertActivity,
    AlertReference,
    AlertState,
    Condition,
    RateReport,
    Resolution,
)
from event_service.model.event import Event, EventDraft, EventType
from event_service.store import alerts as alert_collection
from event_service.store import event_writer
from event_service.store.alerts import AlertStore
from event_service.store.conditions import ConditionStore
from event_service.store.driver_errors import DUPLICATE_KEY, WriteRefused, translate_write
from event_service.store.event_writer import EventWriter, NewEvent
from event_service.store.idempotency_keys import IdempotencyRecord, IdempotencyStore
from event_service.store.transaction import Conflict, Session
from event_service.wire.event_info import encode_event

_ATTEMPTS = 3  # of several creates together, before they are divided
_ATTEMPTS_ALONE = 32  # of one create, before its sender is asked to send again
_LONGEST_PAUSE = 0.032  # seconds between two attempts
_RETRY_AFTER = 0.5  # seconds
_LARGEST_COPIED = 32 * 1024  # bytes of an event whose additional_info is copied to the alert that it opens
_NOT_COUNTED = (None, AlertState.RESOLVED)  # an outdated event alerts no one

OnResolved: TypeAlias = Callable[[Resolution], None]

_jitter = random.SystemRandom()


class _RequestRefused(Exception):
    """The database refuses an event of one create; nothing of the batch is stored."""

    def __init__(self, request: WriteRequest, reason: EventServiceError) -> None:
        super().__init__(str(reason))
        self.request = request
        self.reason = reason


@dataclass(slots=True)
class _Changes:
    """The writes of one attempt.

    Attributes:
        rows: the conditions that were read, or are new, as the decisions leave them.
        known: condition_ids of those that were read.
        touched: condition_ids of those that a decision is about, in their order.
        events: with the create of each.
        records: to be written.
        recorded: the idempotency records that exist, by record_id.
        activities: the events that join each alert.
        progress: `done` and `stored` of each create after the transaction.
        rate_limit: with the alerts of the batch; None if no alert is limited.
    """

    rows: dict[str, Condition] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    touched: dict[str, None] = field(default_factory=dict)
    opened: list[Alert] = field(default_factory=list)
    resolutions: list[Resolution] = field(default_factory=list)
    activities: dict[AlertReference, AlertActivity] = field(default_factory=dict)
    events: list[tuple[WriteRequest, PendingEvent]] = field(default_factory=list)
    records: list[IdempotencyRecord] = field(default_factory=list)
    recorded: dict[str, IdempotencyRecord] = field(default_factory=dict)
    progress: list[tuple[WriteRequest, int, tuple[str, ...]]] = field(default_factory=list)
    rate_limit: AlertRateLimit | None = None


class Committer:
    """The commit step of `GroupCommit`, called by its one thread.

    Args:
        transaction: opens a transaction; see `store/transaction.py`.
        on_resolved: called with the end of each alert, once it is stored.
    """

    def __init__(
        self,
        *,
        transaction: Callable[[], AbstractContextManager[Session]],
        conditions: ConditionStore,
        alerts: AlertStore,
        events: EventWriter,
        records: IdempotencyStore,
        on_resolved: OnResolved = lambda _: None,
    ) -> None:
        self._transaction = transaction
        self._rate_limit = AlertRateLimit()
        self._conditions = conditions
        self._alerts = alerts
        self._events = events
        self._records = records
        self._on_resolved = on_resolved
        self._leftovers: set[str] = set()

    def __call__(self, batch: Sequence[WriteRequest]) -> list[CreateResult | Exception | None]:
        """Write a batch, or the next part of each create that is too large for one transaction.

        Returns:
            For each create its result or its error; None if a part of it is left: write it again.

        Raises:
            EventServiceError: the database failed; the outcome of the whole batch is unknown.
        """
        if not batch:
            return []
        disconnected = 0
        for attempt in range(_ATTEMPTS if len(batch) > 1 else _ATTEMPTS_ALONE):
            try:
                return self._write(batch)
            except _RequestRefused as refused:
                place = next(index for index, request in enumerate(batch) if request is refused.request)
                outcomes = self([*batch[:place], *batch[place + 1 :]])
                return [*outcomes[:place], refused.reason, *outcomes[place:]]
            except Conflict as conflict:
                disconnected += conflict.disconnected
                if disconnected > 1:
                    raise Unavailable(retry_after=_RETRY_AFTER) from conflict
            time.sleep(_jitter.uniform(0, min(0.001 * 2**attempt, _LONGEST_PAUSE)))
        if len(batch) == 1:
            return [Unavailable("Another replica writes to the same alert; send again.", retry_after=_RETRY_AFTER)]
        return self._divide(batch, len(batch) // 2)

    def _divide(self, batch: Sequence[WriteRequest], middle: int) -> list[CreateResult | Exception | None]:
        outcomes = self(batch[:middle])
        try:
            return outcomes + self(batch[middle:])
        except EventServiceError as error:  # the first part is stored
            return [*outcomes, *(error.again() for _ in batch[middle:])]

    def _write(self, batch: Sequence[WriteRequest]) -> list[CreateResult | Exception | None]:
        """Write a batch in one transaction.

        Raises:
            Conflict: nothing is stored; try again.
            _RequestRefused: nothing is stored; try again without that create.
        """
        changes = _Changes()
        try:
            with self._transaction() as session:
                outcomes = self._decide_all(batch, changes, session)
                for alert in changes.opened:
                    if alert.reference.object_id in self._leftovers:
                        self._alerts.remove(alert.reference.object_id, session)
                self._alerts.open(changes.opened, session)
                self._conditions.save([changes.rows[name] for name in changes.touched], changes.known, session)
                self._events.insert([_row(entry) for _, entry in changes.events], session)
                self._alerts.change(changes.activities.values(), changes.resolutions, session)
                self._records.save(changes.records, changes.recorded, session)
        except WriteRefused as refused:
            raise self._reason(refused, changes) from refused
        self._leftovers.clear()
        if changes.rate_limit is not None:
            self._rate_limit = changes.rate_limit
        for resolution in changes.resolutions:
            self._on_resolved(resolution)
        for request, done, stored in changes.progress:
            request.done, request.stored = done, stored
        return outcomes

    def _reason(self, refused: WriteRefused, changes: _Changes) -> Exception:
        """Return what follows from a refused document."""
        failure = refused.failure
        if refused.collection == event_writer.COLLECTION:
            request, entry = changes.events[failure.index]
            if failure.code != DUPLICATE_KEY:
                return _RequestRefused(request, translate_write(failure))
            entry.rename(new_event_id())
        elif failure.code != DUPLICATE_KEY:
            return translate_write(failure)
        elif refused.collection == alert_collection.COLLECTION:
            # Without its condition, as after a restore of a backup: the next attempt replaces it.
            self._leftovers.add(changes.opened[failure.index].reference.object_id)
        return Conflict()

    def _decide_all(
        self, batch: Sequence[WriteRequest], changes: _Changes, session: Session
    ) -> list[CreateResult | Exception | None]:
        records = self._recorded(batch, session)
        changes.recorded = dict(records)
        first: dict[str, PendingEvent] = {}
        for request in batch:
            record = _record(request, records)
            if record is not None and record.done is not None:  # of an attempt that stopped, or is ahead of this one
                request.done, request.stored = record.done, record.stored
            if record is None or record.done is not None:
                for entry in request.next_part():
                    first.setdefault(entry.condition_id, entry)
        self._read(first, changes, session)
        outcomes: list[CreateResult | Exception | None] = []
        for request in batch:
            asked = request.idempotency
            known = recall(asked, _record(request, records)) if asked is not None else None
            if known is not None:
                outcomes.append(known)
                continue
            part = request.next_part()
            for entry in part:
                self._decide(entry, request, changes, session)
            done = request.done + len(part)
            stored = (*request.stored, *_event_ids(part))
            complete = done == len(request.entries)
            changes.progress.append((request, done, stored))
            outcomes.append(CreateResult(stored, unmatched=_unmatched(request)) if complete else None)
            if asked is not None:
                left = None if complete else done
                record = IdempotencyRecord(asked.record_id, asked.digest, asked.expire_at, stored, left)
                changes.records.append(record)
                records[record.record_id] = record  # also for a create later in this batch
        return outcomes

    def _recorded(self, batch: Sequence[WriteRequest], session: Session) -> dict[str, IdempotencyRecord]:
        """Return the records of creates that were sent before, by record_id."""
        keyed = [request for request in batch if request.idempotency is not None]
        if not keyed:
            return {}
        # A create without events has no time of receipt; the database's TTL removes its expired record.
        times = (entry.built.event.created_at for request in keyed for entry in request.entries)
        now = max(times, default=datetime.min.replace(tzinfo=UTC))
        return self._records.find({one.idempotency.record_id for one in keyed if one.idempotency}, now, session)

    def _decide(self, entry: PendingEvent, request: WriteRequest, changes: _Changes, session: Session) -> None:
        """Decide an event and add what follows from it to the changes."""
        event, before = entry.built.event, changes.rows[entry.condition_id]
        row, decision = decide(before, event.draft, event.created_at, request.rules)
        if row is not before:
            changes.touched[entry.condition_id] = None
        counted = bool(request.rules.alerts_per_minute) and decision.opens not in _NOT_COUNTED
        if counted and not self._admits(event, before, request, changes, session):
            changes.rows[entry.condition_id] = suppressed(before, row)
            decision = self._suppress(entry, request, changes, session)
        else:
            changes.rows[entry.condition_id] = row
            _follow(changes, entry, event.draft, decision, counted=counted)
        entry.decision = decision
        if decision.stored:
            changes.events.append((request, entry))
            if decision.alert is not None and decision.opens is None:
                _count(changes, decision.alert, event, before, changes.rows[entry.condition_id])

    def _admits(
        self, event: Event, before: Condition, request: WriteRequest, changes: _Changes, session: Session
    ) -> bool:
        """Return whether the event may open its alert, and count that. One that supersedes an open alert always may."""
        if changes.rate_limit is None:
            changes.rate_limit = self._rate_limit.copy()
        return changes.rate_limit.admits(
            event.webhook_id,
            event.created_at,
            request.rules.alerts_per_minute,
            lambda minute: self._alerts.count_in_minute(event.webhook_id, minute, session),
            always=before.is_open,
        )

    def _suppress(self, entry: PendingEvent, request: WriteRequest, changes: _Changes, session: Session) -> Decision:
        """Tie the event to its webhook's suppressing alert and open that if needed; see `alert_rate_limit.py`."""
        event, suppressing_id = entry.built.event, suppressing_condition_id(entry.key)
        if suppressing_id not in changes.rows:
            first = replace(entry, key=suppressing_key(entry.key), condition_id=suppressing_id)
            self._read({suppressing_id: first}, changes, session)
        limit = request.rules.alerts_per_minute
        draft = suppressing_alert(limit)
        row, decision = suppress(changes.rows[suppressing_id], draft, event.created_at)
        changes.rows[suppressing_id] = row
        changes.touched[suppressing_id] = None
        report = RateReport(minute_of(event.created_at) + MINUTE, limit)
        _follow(changes, replace(entry, condition_id=suppressing_id), draft, decision, rate_report=report)
        return Decision(event.draft.event_type, decision.alert, opens=decision.opens)

    def _read(self, first: Mapping[str, PendingEvent], changes: _Changes, session: Session) -> None:
        """Read conditions; new ones take over the alert of an upstream database.

        Args:
            first: condition_id -> the first event of the batch about it.
        """
        if not first:
            return
        known = self._conditions.find(first, session)
        changes.rows.update(known)
        changes.known.update(known)
        new = {condition_id: entry for condition_id, entry in first.items() if condition_id not in known}
        with_past = [entry.key for entry in new.values() if entry.has_past]
        # Only a database of upstream holds events without a condition. They are not read in the transaction, since only
        # a writer that inserts the condition changes them or their alerts, and the transaction conflicts with that one.
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
            changes.rows[condition_id] = row
        if known or past:
            self._read_runs(first, changes, session)

    def _read_runs(self, condition_ids: Iterable[str], changes: _Changes, session: Session) -> None:
        """Complete rows of earlier versions, and those that took over an alert, with its severity and resources."""
        rows = map(changes.rows.__getitem__, condition_ids)
        unknown = {row.condition_id: row.alert for row in rows if row.is_open and not row.severity and row.alert}
        runs = self._alerts.runs(unknown.values(), session) if unknown else {}
        for condition_id, alert in unknown.items():
            severity, resources = runs.get(alert.alert_id, ("", ()))
            changes.rows[condition_id] = changes.rows[condition_id]._replace(severity=severity, resources=resources)


def _follow(
    changes: _Changes,
    entry: PendingEvent,
    draft: EventDraft,
    decision: Decision,
    *,
    counted: bool = False,
    rate_report: RateReport | None = None,
) -> None:
    """Add the alerts that a decision opens and ends."""
    if decision.opens is not None:
        changes.opened.append(_new_alert(entry, draft, decision, counted, rate_report))
    if decision.resolution is not None:
        changes.resolutions.append(decision.resolution)


def _count(changes: _Changes, alert: AlertReference, event: Event, before: Condition, after: Condition) -> None:
    """Add an event to those that join its alert."""
    activity = changes.activities.get(alert)
    if activity is None:
        activity = changes.activities[alert] = AlertActivity(alert, event.created_at)
    elif event.created_at > activity.last_event_at:
        activity.last_event_at = event.created_at
    activity.events += 1
    if after.severity != before.severity:
        activity.severity = after.severity
    if after.resources is not before.resources:
        activity.resources = after.resources


def _new_alert(
    entry: PendingEvent, draft: EventDraft, decision: Decision, counted: bool, rate_report: RateReport | None
) -> Alert:
    event = entry.built.event
    if decision.alert is None or decision.opens is None:
        raise AssertionError("an alert needs an id before it is opened")
    at = effective_time(draft.occurred_at, event.created_at)
    return Alert(
        reference=decision.alert,
        condition_id=entry.condition_id,
        state=decision.opens,
        urgency=urgency_of(draft.severity),
        severity=draft.severity,
        title=draft.title,
        description=draft.description,
        rule=draft.rule,
        image_url=draft.image_url,
        resources=draft.resources[:MOST_RESOURCES],
        provider=draft.provider,
        account=draft.account,
        additional_info=draft.additional_info if len(entry.built.wire) <= _LARGEST_COPIED else {},
        triggered_by=event.webhook_id,
        webhook_id=event.webhook_id,
        project_id=event.project_id,
        workspace_id=event.workspace_id,
        domain_id=event.domain_id,
        created_at=event.created_at,
        resolved_at=at if decision.opens is AlertState.RESOLVED else None,
        counted=counted,
        rate_report=rate_report,
    )


def _row(entry: PendingEvent) -> NewEvent:
    decision, built = entry.decision, entry.built
    if decision is None:
        raise AssertionError("only decided events are inserted")
    # The wire bytes hold the event_type, so a changed type needs new ones. The entry keeps its own: the next attempt
    # may decide otherwise.
    if decision.event_type is EventType.RECOVERY and built.event.draft.event_type is not EventType.RECOVERY:
        event = replace(built.event, draft=replace(built.event.draft, event_type=EventType.RECOVERY))
        built = EncodedEvent(event, encode_event(event))
    return NewEvent(entry.object_id, built.event, decision.alert, built.wire)


def _record(request: WriteRequest, records: Mapping[str, IdempotencyRecord]) -> IdempotencyRecord | None:
    return None if request.idempotency is None else records.get(request.idempotency.record_id)


def _event_ids(entries: Sequence[PendingEvent]) -> list[str]:
    return [entry.built.event.event_id for entry in entries if entry.decision is not None and entry.decision.stored]


def _unmatched(request: WriteRequest) -> tuple[str, ...]:
    return tuple(
        entry.built.event.draft.event_key
        for entry in request.entries
        if entry.decision is not None and not entry.decision.stored and not entry.built.event.draft.only_if_open
    )
