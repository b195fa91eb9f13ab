"""The create as it goes through the write queue: its events, its idempotency key, and its result."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from event_service.events.alert_rules import AlertRules, Decision
from event_service.events.event_builder import EncodedEvent
from event_service.model.condition import ConditionKey
from event_service.store.object_ids import new_object_id
from event_service.wire.event_info import encode_event

_PART_EVENTS = 1000  # of one create in one transaction: others wait that long
_PART_BYTES = 12_000_000


@dataclass(slots=True)
class PendingEvent:
    """One event of a create, not stored yet.

    Attributes:
        has_past: upstream may have stored events of its condition.
        decision: about its alert, by the last attempt to write the batch.
    """

    built: EncodedEvent
    key: ConditionKey
    condition_id: str
    has_past: bool = True
    object_id: str = field(default_factory=new_object_id)
    decision: Decision | None = None

    def rename(self, event_id: str) -> None:
        """Give the event another id."""
        event = replace(self.built.event, event_id=event_id)
        self.built = EncodedEvent(event, encode_event(event))


class IdempotencyRequest(NamedTuple):
    """The idempotency record that a create asks for; see `store.idempotency_keys.IdempotencyRecord`."""

    record_id: str
    digest: str
    expire_at: datetime


@dataclass(slots=True)
class WriteRequest:
    """One create in the write queue.

    Attributes:
        rules: how the webhook ties events to alerts.
        done: number of events that earlier transactions decided; see `next_part`.
        stored: event_ids that those stored.
    """

    entries: list[PendingEvent]
    rules: AlertRules
    idempotency: IdempotencyRequest | None = None
    done: int = 0
    stored: tuple[str, ...] = ()

    def next_part(self) -> list[PendingEvent]:
        """Return the events after the first `done` that fit in one transaction, at least one.

        An embedded mongod has 256 MiB of cache, of which a transaction may fill 15 %, with the entries of 12 indexes.
        """
        part: list[PendingEvent] = []
        size = 0
        for entry in self.entries[self.done : self.done + _PART_EVENTS]:
            size += 2 * len(entry.built.wire)
            if part and size > _PART_BYTES:
                break
            part.append(entry)
        return part

    @property
    def left(self) -> int:
        """Number of events that no transaction has decided yet."""
        return len(self.entries) - self.done

    @property
    def key(self) -> str:
        """The webhook, whose share of the write queue it takes; "" without events."""
        return self.entries[0].key.webhook_id if self.entries else ""

    @property
    def size(self) -> int:
        """Approximate bytes it adds to a batch: each event is stored both nested and as wire bytes."""
        size = 0
        for entry in self.entries:
            size += 2 * len(entry.built.wire)
        return size


class CreateResult(NamedTuple):
    """The result of a create.

    Attributes:
        event_ids: ids of the stored events, in the payload's order.
        duplicate: an earlier create had stored them all; this one stored nothing.
        faults: `path: problem` of everything that could not be parsed and was stored as an ERROR event.
        ignored: a reason for each member that makes no event on purpose.
        unmatched: event_keys of recoveries that found no open alert and were not stored.
        parser: name of the parser; "" if the events were not parsed here.
    """

    event_ids: Sequence[str] = ()
    duplicate: bool = False
    faults: Sequence[str] = ()
    ignored: Sequence[str] = ()
    unmatched: Sequence[str] = ()
    parser: str = ""

    def with_unmatched_ignored(self) -> "CreateResult":
        """Return the result with a reason in `ignored` for each unmatched recovery."""
        reasons = [f"recovery without an open alert (event_key = {key})" for key in self.unmatched]
        return self._replace(ignored=[*self.ignored, *reasons]) if reasons else self
