"""What a parser makes of a payload: events, members it could not read, and what it left out on purpose."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias, TypeVarTuple

from event_service.model.event import EventDraft

Json: TypeAlias = Any  # dict, list, str, int, float, bool or None, as json.loads or a Struct gives it
Headers: TypeAlias = Mapping[str, str]  # names in lower case
Options: TypeAlias = Mapping[str, Any]  # plugin_info.options of the webhook

MOST_EVENTS = 10_000
"""Events of one delivery. They are written in one go, and everybody else waits that long: a few seconds at most."""

MOST_BYTES = 32 * 1024 * 1024
"""Bytes of all events of one delivery. They are twice the largest request, as each may repeat what it was read from;
only what is repeated in all of them is more."""

MOST_FIELDS = 1_000_000
"""Fields of all objects that one delivery's events keep as raw_data: as many as a body may have values."""

FROM_PLUGIN = "plugin"
"""The `source` of what a remote plugin made of a payload."""

_Args = TypeVarTuple("_Args")
_index = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a payload.

    Attributes:
        path: where, e.g. `results[1].severity`; "" is the payload as a whole.
        problem: what, and what was expected instead.
        kind: tells faults at one path apart where that matters, e.g. a plugin's `timeout` from its `crash`.
    """

    path: str
    problem: str
    kind: str = ""

    @property
    def fault_class(self) -> str:
        """The same for every payload with this fault, wherever in a batch it stands. Never holds a caller's words."""
        return f"{_index.sub('[]', self.path)}:{self.kind}"

    def below(self, path: str) -> "Fault":
        """The same fault of a member that stands at `path`."""
        separator = "." if self.path and not self.path.startswith("[") else ""
        return Fault(f"{path}{separator}{self.path}", self.problem, self.kind)

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


class ParseError(Exception):
    """The refusal type: this payload, or this member of it, cannot be understood. Parsers raise nothing else."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = list(faults)

    @classmethod
    def at(cls, path: str, problem: str, kind: str = "") -> "ParseError":
        return cls([Fault(path, problem, kind)])


@dataclass(slots=True)
class BadItem:
    """A payload, or one member of it, that is authentic but not understood. Becomes a parse-error event.

    Attributes:
        faults: all of them, at least one.
        raw_data: the payload as received, with this one member only where it held several.
    """

    faults: list[Fault]
    raw_data: Mapping[str, Any]


@dataclass(slots=True)
class Subscription:
    """An Amazon SNS topic that asks to be confirmed before it delivers.

    Attributes:
        message: the SNS message, for signatures.py.
        event: carries the link. To be stored unless the subscription was verified and confirmed.
    """

    message: Mapping[str, Any]
    event: EventDraft


@dataclass(slots=True)
class Parsed:
    """What became of one payload.

    Attributes:
        events: in the payload's order.
        bad_items: members that could not be read; the readable ones are in `events` all the same.
        ignored: one short reason for each member that makes no event on purpose, e.g. `acknowledge`. The reasons are
            a fixed set, so that they can be counted by name.
        message_id: the sender's own id of this delivery, "" where it gives none. The same id means the same delivery,
            but not always the same bytes (AWS Health repeats one from another region).
        source: name of the parser that read it, e.g. `alertmanager`.
        timestamped: the sender's own times are in the payload, so that equal bytes are a repeated delivery.
        subscription: an SNS subscription that waits for its confirmation.
    """

    events: list[EventDraft] = field(default_factory=list)
    bad_items: list[BadItem] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    message_id: str = ""
    source: str = ""
    timestamped: bool = False
    subscription: Subscription | None = None

    @property
    def faults(self) -> list[str]:
        """Every fault of every bad item as `path: problem`."""
        return [str(fault) for item in self.bad_items for fault in item.faults]

    def add(
        self,
        raw_data: Mapping[str, Any],
        read: Callable[[*_Args], EventDraft | str],
        *args: *_Args,
        below: str = "",
    ) -> None:
        """Read one member and add its event, the reason why it makes none, or its faults.

        Args:
            raw_data: kept with the event or the bad item.
            read: returns an event or a reason for `ignored`; may raise ParseError.
            below: path that is put before the path of each fault.
        """
        try:
            outcome = read(*args)
        except ParseError as error:
            faults = [fault.below(below) for fault in error.faults] if below else error.faults
            self.bad_items.append(BadItem(faults, raw_data))
            return
        if isinstance(outcome, str):
            self.ignored.append(outcome)
        else:
            outcome.raw_data = raw_data
            self.events.append(outcome)


Parser: TypeAlias = Callable[[Json, Headers, Options, datetime], Parsed]
Detector: TypeAlias = Callable[[Json, Headers], bool]


def raw_object(payload: Json) -> Mapping[str, Any]:
    """The payload as raw_data can hold it: itself where it is an object, else `{"body": payload}`."""
    return payload if isinstance(payload, dict) else {"body": payload}


def object_of(payload: Json, path: str = "") -> dict[str, Any]:
    """The payload, or the member at `path`, as the object it has to be.

    Raises:
        ParseError: it is something else.
    """
    if isinstance(payload, dict):
        return payload
    raise ParseError.at(path, "must be a JSON object")
