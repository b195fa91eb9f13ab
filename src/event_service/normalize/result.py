"""The result of parsing a payload: events, bad items, and the reasons of ignored members."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias, TypeVarTuple

from event_service.model.event import EventDraft

Json: TypeAlias = Any  # dict, list, str, int, float, bool or None, as json.loads or a Struct gives it
Headers: TypeAlias = Mapping[str, str]  # names in lower case
Options: TypeAlias = Mapping[str, Any]  # plugin_info.options of the webhook

MOST_EVENTS = 10_000
"""Events per delivery. They are one batch of the writer, which delays other deliveries by a few seconds at most."""

MOST_BYTES = 32 * 1024 * 1024
"""Bytes of all events of one delivery: twice the largest request, as each event may repeat fields of its payload."""

MOST_FIELDS = 1_000_000
"""Fields of the raw_data of all events of one delivery: as many as a body may have values."""

SUBSCRIPTION = "subscription confirmation"
"""The reason in `Parsed.ignored` while a subscription waits for its confirmation."""

FROM_PLUGIN = "plugin"
"""The `source` of events that a remote plugin parsed."""

BODY = "body"
"""The name in raw_data of a payload that is no object, and of a body that is text."""

BODY_BASE64 = "body_base64"
"""The name in raw_data of a body that is neither JSON nor text."""

_Args = TypeVarTuple("_Args")
_index = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a payload.

    Attributes:
        path: of the faulty value, e.g. `results[1].severity`; "" is the whole payload.
        problem: the fault and the expected value.
        kind: distinguishes faults with the same path, e.g. a plugin's `timeout` and `unavailable`.
    """

    path: str
    problem: str
    kind: str = ""

    @property
    def fault_class(self) -> str:
        """Return the path without list positions, and the kind. It contains no text of the payload."""
        return f"{_index.sub('[]', self.path)}:{self.kind}"

    def below(self, path: str) -> "Fault":
        """Return the fault with its path moved below `path`."""
        separator = "." if self.path and not self.path.startswith("[") else ""
        return Fault(f"{path}{separator}{self.path}", self.problem, self.kind)

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


class ParseError(Exception):
    """A payload, or a member of it, cannot be parsed. Parsers raise nothing else."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = list(faults)

    @classmethod
    def at(cls, path: str, problem: str, kind: str = "") -> "ParseError":
        return cls([Fault(path, problem, kind)])


@dataclass(slots=True)
class BadItem:
    """An authentic payload or member that cannot be parsed. It becomes a parse-error event.

    Attributes:
        faults: at least one.
        raw_data: the payload as received; of several members only this one is kept.
        first_line: of a payload that is text, or "". It keeps different messages apart.
    """

    faults: list[Fault]
    raw_data: Mapping[str, Any]
    first_line: str = ""


@dataclass(slots=True)
class Subscription:
    """An unconfirmed subscription of an Amazon SNS topic.

    Attributes:
        message: the SNS message, for signatures.py.
        event: carries the link; stored unless the subscription is verified and confirmed.
    """

    message: Mapping[str, Any]
    event: EventDraft


@dataclass(slots=True)
class Parsed:
    """The result of parsing one payload.

    Attributes:
        events: in the order of the payload.
        bad_items: members that cannot be parsed.
        ignored: one short reason per member that makes no event by design, e.g. `acknowledge`, and remarks about events
            (`unknown severity`). They are a fixed set, since they are labels of a metric.
        message_id: the sender's id of this delivery, or "". The same id means the same delivery, but not always the
            same bytes (AWS Health repeats one from another region).
        source: name of the parser, e.g. `alertmanager`.
        timestamped: every event has a time of the sender, so that equal bytes are a repeated delivery.
        varying: name of a field by which the bytes of a repeated delivery may differ, or "".
        subscription: an SNS subscription to confirm.
        endings: recoveries with `only_if_open` that follow from the delivery itself.
    """

    events: list[EventDraft] = field(default_factory=list)
    bad_items: list[BadItem] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    message_id: str = ""
    source: str = ""
    timestamped: bool = False
    varying: str = ""
    subscription: Subscription | None = None
    endings: list[EventDraft] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """Return every fault of every bad item as `path: problem`."""
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

    def keep_subscription(self, refusal: str = "") -> None:
        """Turn an unconfirmed subscription, if there is one, into the event that carries its link.

        Args:
            refusal: why it was not confirmed, one sentence.
        """
        if self.subscription is None:
            return
        event = self.subscription.event
        if refusal:
            event.description += f"\nIt was not confirmed by itself: {refusal}"
        self.events.append(event)
        self.ignored.remove(SUBSCRIPTION)
        self.subscription = None


class DeliveryHooks(Protocol):
    """The steps of one vendor around parsing, made by `ParserSpec.hooks`. They see the deliveries of all webhooks."""

    async def before_parse(self, payload: Json, options: Options, now: datetime) -> None:
        """Verify the sender if the webhook's options demand it.

        Raises:
            PermissionDenied: the signature is missing or invalid.
            Unavailable: the signature cannot be checked at present.
        """

    async def after_parse(self, parsed: Parsed, options: Options, now: datetime) -> None:
        """Confirm what waits for a confirmation, or keep it as an event. Called when `parsed.subscription` is set."""

    def preview(self, parsed: Parsed, options: Options) -> None:
        """Do what `after_parse` would do, without network access."""


Parser: TypeAlias = Callable[[Json, Headers, Options, datetime], Parsed]
Detector: TypeAlias = Callable[[Json, Headers], bool]


def raw_object(payload: Json) -> Mapping[str, Any]:
    """Return the payload as an object for raw_data: any other value becomes `{"body": payload}`."""
    return payload if isinstance(payload, dict) else {BODY: payload}


def media_type(headers: Headers) -> str:
    """Return the content type in lower case without its parameters; "" for none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def declares_json(headers: Headers) -> bool:
    """Return True if the content type is JSON's or that of a format in JSON."""
    return media_type(headers).endswith(("/json", "+json"))


def object_of(payload: Json, path: str = "") -> dict[str, Any]:
    """Return the payload, or the member at `path`, if it is an object.

    Raises:
        ParseError: any other type.
    """
    if isinstance(payload, dict):
        return payload
    raise ParseError.at(path, "must be a JSON object")
