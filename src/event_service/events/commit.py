"""Writes one batch of creates: conditions and alerts, then the events, then what recoveries resolve.

Each step is one write per collection and may be done again: a crash between two steps is mended by the sender's
retry, by the next event of the same condition, or by `mend` at start. The batch runs in the writer's thread.

    claims read, added     which creates were sent before under the same idempotency key
    conditions read        one look-up for all keys of the batch
    alerts opened          their `_id`s follow from the condition: opening one twice is the same document
    conditions saved       compare-and-set; whoever loses is decided again in the next batch
    events inserted        `_id`s are chosen before, so a second attempt finds its first
    alerts closed, conditions settled, claims completed
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, TypeAlias

from event_service.errors import AlreadyExists, EventServiceError
from event_service.events.building import BuiltEvent, new_event_id
from event_service.events.conditions import AlertRules, Decision, decide, effective_time, urgency_of
from event_service.model.condition import Alert, AlertState, Closing, ClosingReason, Condition
from event_service.model.event import EventType
from event_service.store.claims import Claim
from event_service.store.event_writer import ConditionKey, Inserted, NewEvent, PastEvent, new_object_id
from event_service.store.writer import DEFER, Defer
from event_service.wire.event_info import encode_event

# A batch that is older than this has either settled its conditions or will not do so any more.
UNSETTLED_AFTER = timedelta(seconds=60)


class Conditions(Protocol):
    """What a commit needs of `store/conditions.py`."""

    def find(self, condition_ids: Iterable[str]) -> dict[str, Condition]: ...
    def save(self, conditions: Sequence[Condition]) -> list[bool]: ...
    def settle(self, conditions: Sequence[Condition]) -> None: ...
    def unsettled(self, before: datetime) -> list[Condition]: ...


class Alerts(Protocol):
    """What a commit needs of `store/alerts.py`."""

    def open(self, alerts: Sequence[Alert]) -> None: ...
    def close(self, closings: Sequence[Closing]) -> None: ...
    def states(self, alert_ids: Iterable[str]) -> dict[str, tuple[AlertState, datetime | None]]: ...


class Events(Protocol):
    """What a commit needs of `store/event_writer.py`."""

    def insert(self, events: Sequence[NewEvent]) -> list[Inserted | EventServiceError]: ...
    def existing(self, object_ids: Iterable[str]) -> set[str]: ...
    def newest_alerts(self, keys: Sequence[ConditionKey]) -> dict[ConditionKey, PastEvent]: ...


class Claims(Protocol):
    """What a commit needs of `store/claims.py`."""

    def find(self, claim_ids: Iterable[str]) -> dict[str, Claim]: ...
    def forget(self, claim_ids: Iterable[str], before: datetime) -> None: ...
    def add(self, claims: Sequence[Claim]) -> list[bool]: ...
    def complete(self, stored: Sequence[tuple[str, Sequence[str]]]) -> None: ...


@dataclass(slots=True)
class Entry:
    """One event of a create on its way into the store.

    Attributes:
        stored: None while undecided, True once stored, False for a recovery that is not to be stored.
        was_stored: an earlier attempt had stored it.
    """

    built: BuiltEvent
    key: ConditionKey
    condition_id: str
    object_id: str = field(default_factory=new_object_id)
    decision: Decision | None = None
    stored: bool | None = None
    was_stored: bool = False


class ClaimRequest(NamedTuple):
    """The idempotency key a create came with; see `Claim`."""

    claim_id: str
    digest: str
    expire_at: datetime


@dataclass(slots=True)
class CreateItem:
    """One create: its events, and how its webhook ties them to alerts."""

    entries: list[Entry]
    rules: AlertRules
    claim: ClaimRequest | None = None
    claimed: bool = False
    adopted: bool = False

    @property
    def size(self) -> int:
        """Bytes it adds to a batch, nearly: each event is stored nested and as wire bytes."""
        size = 0
        for entry in self.entries:
            size += 2 * len(entry.built.wire)
        return size


class CreateResult(NamedTuple):
    """How a create ended.

    Attributes:
        event_ids: what was stored, now or (`duplicate`) by an earlier attempt.
        unmatched: event_keys of recoveries that found no open alert and were not stored.
    """

    event_ids: tuple[str, ...]
    duplicate: bool = False
    unmatched: tuple[str, ...] = ()


Outcome: TypeAlias = CreateResult | Exception | Defer


class Committer:
    """The commit step of the group-commit writer. Not thread-safe: one writer thread calls it."""

    def __init__(self, *, conditions: Conditions, alerts: Alerts, events: Events, claims: Claims) -> None:
        self._conditions = conditions
        self._alerts = alerts
        self._events = events
        self._claims = claims

    def __call__(self, batch: Sequence[CreateItem]) -> list[Outcome]:
        """Writes a batch.

        Returns:
            For each item its result, its error, or DEFER: what is left of it belongs into the next batch.

        Raises:
            EventServiceError: the database failed; nothing of the batch is promised.
        """
        settled = self._settle_claims(batch)
        working = [item for item, outcome in zip(batch, settled, strict=True) if outcome is None]
        failures: dict[int, EventServiceError] = {}
        if working:
            rows, saved = self._tie_to_alerts(working)
            failures = self._insert(working, saved)
            self._close(rows[condition_id] for condition_id in saved)
            self._complete_claims(item for item in working if _finished(item))
        return [
            outcome if outcome is not None else failures.get(id(item)) or _result(item)
            for item, outcome in zip(batch, settled, strict=True)
        ]

    def mend(self, now: datetime) -> int:
        """Carries out closings that a process decided and died before carrying out. Returns how many rows it mended."""
        rows = [self._adopt(row) for row in self._conditions.unsettled(now - UNSETTLED_AFTER)]
        self._alerts.close([closing for row in rows for closing in row.closings])
        self._conditions.settle(rows)
        return len(rows)

    def _settle_claims(self, batch: Sequence[CreateItem]) -> list[Outcome | None]:
        """For each item its outcome if its idempotency key already decides it, else None."""
        outcomes: list[Outcome | None] = [None] * len(batch)
        claiming = [(index, item) for index, item in enumerate(batch) if item.claim and not item.claimed]
        if not claiming:
            return outcomes
        known = self._unexpired(claiming)
        new: list[tuple[int, CreateItem, Claim]] = []
        taken: set[str] = set()
        for index, item in claiming:
            request = item.claim
            if request is None:
                continue
            claim = known.get(request.claim_id)
            if request.claim_id in taken:
                outcomes[index] = DEFER
            elif claim is None:
                planned = tuple((entry.object_id, entry.built.event.event_id) for entry in item.entries)
                new.append((index, item, Claim(request.claim_id, request.digest, planned, request.expire_at)))
            elif claim.digest != request.digest:
                outcomes[index] = AlreadyExists(
                    "The idempotency key was used with another payload. Send again what was sent, or choose a new key."
                )
            elif claim.stored is not None:
                outcomes[index] = CreateResult(claim.stored, duplicate=True)
            else:
                self._take_over(item, claim)
            taken.add(request.claim_id)
        for (index, item, _), added in zip(new, self._claims.add([claim for _, _, claim in new]), strict=True):
            item.claimed = added
            if not added:
                outcomes[index] = DEFER
        return outcomes

    def _unexpired(self, claiming: Sequence[tuple[int, CreateItem]]) -> dict[str, Claim]:
        """The claims that were made before under the keys of these items."""
        wanted = {item.claim.claim_id for _, item in claiming if item.claim}
        now = max(entry.built.event.created_at for _, item in claiming for entry in item.entries)
        known = self._claims.find(wanted)
        expired = [claim_id for claim_id, claim in known.items() if claim.expire_at <= now]
        if expired:
            self._claims.forget(expired, now)
        return {claim_id: claim for claim_id, claim in known.items() if claim.expire_at > now}

    def _take_over(self, item: CreateItem, claim: Claim) -> None:
        """Goes on where an earlier attempt under the same key stopped, or is still going on elsewhere."""
        for entry, (object_id, event_id) in zip(item.entries, claim.planned, strict=False):
            entry.object_id = object_id
            if entry.built.event.event_id != event_id:
                _rename(entry, event_id)
        there = self._events.existing(entry.object_id for entry in item.entries)
        for entry in item.entries:
            if entry.object_id in there:
                entry.stored = entry.was_stored = True
        item.claimed = item.adopted = True

    def _tie_to_alerts(self, items: Sequence[CreateItem]) -> tuple[dict[str, Condition], set[str]]:
        """Decides every entry that can be decided, opens alerts and saves the conditions.

        Returns:
            The conditions after the batch, and the ids of those that could be saved.
        """
        entries = [(item, entry) for item in items for entry in item.entries if entry.stored is None]
        rows = self._rows({entry.condition_id: entry.key for _, entry in entries})
        opened: list[Alert] = []
        closed: set[str] = set()
        for item, entry in entries:
            # Once a recovery has resolved a condition, what follows for it waits for the next batch: the row
            # is only closed when the recovery itself is stored.
            if entry.condition_id in closed:
                entry.decision = None
                continue
            draft, received_at = entry.built.event.draft, entry.built.event.created_at
            row, decision = decide(rows[entry.condition_id], draft, received_at, entry.object_id, item.rules)
            rows[entry.condition_id] = row
            entry.decision = decision
            if decision.opens is not None:
                opened.append(_new_alert(entry, decision))
            if decision.resolves:
                closed.add(entry.condition_id)
        self._alerts.open(opened)
        written = list(rows.values())
        outcomes = self._conditions.save([_open_until_settled(row) for row in written])
        saved = {row.condition_id for row, ok in zip(written, outcomes, strict=True) if ok}
        return rows, saved

    def _rows(self, keys: dict[str, ConditionKey]) -> dict[str, Condition]:
        """The row of every condition of the batch; new ones take over what an upstream database knows."""
        rows = {condition_id: self._adopt(row) for condition_id, row in self._conditions.find(keys).items()}
        missing = {condition_id: key for condition_id, key in keys.items() if condition_id not in rows}
        if not missing:
            return rows
        past = self._events.newest_alerts(list(missing.values()))
        states = self._alerts.states(event.alert.alert_id for event in past.values()) if past else {}
        for condition_id, key in missing.items():
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

    def _adopt(self, row: Condition) -> Condition:
        """Takes over closings that another process decided: those count whose event has been stored."""
        if not row.closings:
            return row
        there = self._events.existing({closing.event_object_id for closing in row.closings})
        kept = tuple(
            closing
            for closing in row.closings
            if closing.reason is ClosingReason.SUPERSEDED or closing.event_object_id in there
        )
        recovered = any(closing.reason is ClosingReason.RECOVERED and closing.alert == row.alert for closing in kept)
        return row._replace(closings=kept, is_open=row.is_open and not recovered)

    def _insert(self, items: Sequence[CreateItem], saved: set[str]) -> dict[int, EventServiceError]:
        """Stores the events whose condition was saved. Returns the errors by `id(item)`."""
        ready: list[tuple[CreateItem, Entry]] = []
        for item in items:
            for entry in item.entries:
                if entry.stored is None and entry.decision is not None and entry.condition_id in saved:
                    if entry.decision.stored:
                        ready.append((item, entry))
                    else:
                        entry.stored = False
        failures: dict[int, EventServiceError] = {}
        for (item, entry), outcome in zip(ready, self._events.insert([_row(entry) for _, entry in ready]), strict=True):
            if isinstance(outcome, EventServiceError):
                failures[id(item)] = outcome
                # What it was to close stays open: `mend` finds that its event was never stored.
                saved.discard(entry.condition_id)
            elif outcome is Inserted.EVENT_ID_TAKEN:
                _rename(entry, new_event_id())
            else:
                entry.stored = True
                entry.was_stored = outcome is Inserted.WAS_STORED
        return failures

    def _close(self, rows: Iterable[Condition]) -> None:
        done = [row._replace(version=row.version + 1) for row in rows if row.closings]
        self._alerts.close([closing for row in done for closing in row.closings])
        self._conditions.settle(done)

    def _complete_claims(self, items: Iterable[CreateItem]) -> None:
        complete = []
        for item in items:
            if item.claim is None:
                continue
            if item.adopted:
                # Another replica may have worked on the same claim meanwhile and stored what was decided
                # differently here.
                there = self._events.existing(entry.object_id for entry in item.entries)
                for entry in item.entries:
                    entry.stored = entry.object_id in there
            complete.append((item.claim.claim_id, _event_ids(item)))
        self._claims.complete(complete)


def _open_until_settled(row: Condition) -> Condition:
    """A condition stays open until the recovery that closes it is stored, lest a crash loses the recovery."""
    if row.is_open or not any(closing.reason is ClosingReason.RECOVERED for closing in row.closings):
        return row
    return row._replace(is_open=True)


def _new_alert(entry: Entry, decision: Decision) -> Alert:
    event, draft = entry.built.event, entry.built.event.draft
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


def _row(entry: Entry) -> NewEvent:
    decision, built = entry.decision, entry.built
    if decision is None:
        raise AssertionError("only decided entries are inserted")
    if decision.event_type is EventType.RECOVERY and built.event.draft.event_type is not EventType.RECOVERY:
        event = replace(built.event, draft=replace(built.event.draft, event_type=EventType.RECOVERY))
        built = entry.built = BuiltEvent(event, encode_event(event))
    return NewEvent(entry.object_id, built.event, decision.alert, built.wire)


def _rename(entry: Entry, event_id: str) -> None:
    event = replace(entry.built.event, event_id=event_id)
    entry.built = BuiltEvent(event, encode_event(event))


def _finished(item: CreateItem) -> bool:
    return all(entry.stored is not None for entry in item.entries)


def _event_ids(item: CreateItem) -> tuple[str, ...]:
    return tuple(entry.built.event.event_id for entry in item.entries if entry.stored)


def _result(item: CreateItem) -> CreateResult | Defer:
    stored: list[str] = []
    unmatched: list[str] = []
    duplicate = True
    for entry in item.entries:
        if entry.stored is None:
            return DEFER
        if entry.stored:
            stored.append(entry.built.event.event_id)
            duplicate &= entry.was_stored
        else:
            unmatched.append(entry.built.event.draft.event_key)
    return CreateResult(tuple(stored), bool(stored) and duplicate, tuple(unmatched))
