"""What a create is on its way through the writer: its events, its idempotency key, and how it ends."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, TypeAlias

from event_service.concurrency.group_commit import Retry
from event_service.events.alert_rules import AlertRules, Decision
from event_service.events.event_builder import EncodedEvent
from event_service.model.condition import ConditionKey
from event_service.store.object_ids import new_object_id
from event_service.wire.event_info import encode_event


@dataclass(slots=True)
class PendingEvent:
    """One event of a create on its way into the store.

    Attributes:
        has_past: whether upstream may have stored events of its condition.
        stored: None while undecided, True once stored, False for a recovery that is not to be stored.
        was_stored: an earlier attempt had stored it.
        admitted: whether it may open an alert; None where nobody had to ask. See `alert_rate_limit.py`.
        suppressing_id: the condition of the surge it is tied to instead; "" for none.
    """

    built: EncodedEvent
    key: ConditionKey
    condition_id: str
    has_past: bool = True
    object_id: str = field(default_factory=new_object_id)
    decision: Decision | None = None
    stored: bool | None = None
    was_stored: bool = False
    admitted: bool | None = None
    suppressing_id: str = ""

    def rename(self, event_id: str) -> None:
        """Gives the event another id."""
        event = replace(self.built.event, event_id=event_id)
        self.built = EncodedEvent(event, encode_event(event))


class IdempotencyRequest(NamedTuple):
    """The idempotency key a create came with; see `IdempotencyRecord`."""

    record_id: str
    digest: str
    expire_at: datetime


@dataclass(slots=True)
class WriteRequest:
    """One create: its events, and how its webhook ties them to alerts."""

    entries: list[PendingEvent]
    rules: AlertRules
    claim: IdempotencyRequest | None = None
    claimed: bool = False
    adopted: bool = False

    @property
    def size(self) -> int:
        """Bytes it adds to a batch, nearly: each event is stored nested and as wire bytes."""
        size = 0
        for entry in self.entries:
            size += 2 * len(entry.built.wire)
        return size

    @property
    def finished(self) -> bool:
        """Whether every event is stored, or is not to be."""
        return all(entry.stored is not None for entry in self.entries)


class CreateResult(NamedTuple):
    """How a create ended.

    Attributes:
        event_ids: what was stored, now or (`duplicate`) by an earlier attempt.
        unmatched: event_keys of recoveries that found no open alert and were not stored.
    """

    event_ids: tuple[str, ...]
    duplicate: bool = False
    unmatched: tuple[str, ...] = ()


@dataclass(slots=True)
class CreateOutcome:
    """What became of a delivery.

    Attributes:
        event_ids: ids of the stored events, in the payload's order.
        duplicate: nothing new was stored, it had been stored before.
        faults: what could not be understood and was stored as ERROR events, each with its path.
        ignored: what was left out on purpose, each with the reason.
    """

    event_ids: list[str] = field(default_factory=list)
    duplicate: bool = False
    faults: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def complete(self, result: CreateResult) -> None:
        """Adds what the store says."""
        self.event_ids = list(result.event_ids)
        self.duplicate = result.duplicate
        self.ignored += [f"recovery without an open alert (event_key = {name})" for name in result.unmatched]


Outcome: TypeAlias = CreateResult | Exception | Retry
