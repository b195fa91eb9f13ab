"""The parser of tools whose payload is one event: a table of paths and words, one per tool.

A path is a name at the top, or steps with dots between them: `monitor.name`. Of several paths the first with a value
wins.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from event_service.model.event import EventDraft, Severity
from event_service.normalize.fields import extra_fields, first_line, flat, joined_key, text, texts
from event_service.normalize.result import Headers, Json, Options, Parsed, ParseError, object_of
from event_service.normalize.severities import (
    UNKNOWN_SEVERITY,
    State,
    bare_title,
    chosen_severity,
    means_over,
    named_severity,
    named_state,
    recovery_severity,
    severity_of_state,
    state_in_title,
)
from event_service.normalize.splitting import single
from event_service.normalize.timestamps import moment

ACKNOWLEDGED = "acknowledge"
TEST = "test message"
OTHER_NEWS = "neither problem nor recovery"

Body = Mapping[str, Any]


def value_at(body: Body, path: str) -> Json:
    """Return the value at a path; None if there is none."""
    value: Json = body.get(path)
    if value is None and "." in path:
        value = body
        for step in path.split("."):
            if not isinstance(value, dict):
                return None
            value = value.get(step)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTable:
    """The format of one tool.

    Attributes:
        name: of the parser.
        marks: names that every payload has at the top, the rarest first.
        accepts: a further condition on a payload with these names.
        view: returns the payload with the names that the paths use.
        key: what the condition is. The first must have a value.
        titles: without any, the key's values are the title.
        states: paths of the state.
        state_words: the tool's own words in lower case -> state, or the reason why such a payload makes no event.
        severities: paths of the severity; without any the state's word is the severity.
        severity_words: the tool's own words in lower case.
        otherwise: severity of an alert that has none.
        resources: all with a value are resources, not the first only.
        starts, ends: paths of the time of an alert and of a recovery.
        zone: of times without one; None is the webhook's.
        info: name in additional_info -> path.
    """

    name: str
    key: tuple[str, ...]
    titles: tuple[str, ...]
    marks: tuple[str, ...] = ()
    accepts: Callable[[Body], bool] | None = None
    view: Callable[[Body], Body] | None = None
    states: tuple[str, ...] = ()
    state_words: Mapping[str, State | str] = field(default_factory=dict)
    severities: tuple[str, ...] = ()
    severity_words: Mapping[str, Severity] = field(default_factory=dict)
    otherwise: Severity = Severity.NONE
    descriptions: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    zone: tzinfo | None = None
    images: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    provider: str = ""
    info: Mapping[str, str] = field(default_factory=dict)

    def detect(self, payload: Json, _headers: Headers) -> bool:
        if not isinstance(payload, dict):
            return False
        for name in self.marks:
            if name not in payload:
                return False
        return self.accepts is None or self.accepts(payload)

    def parse(self, payload: Json, _headers: Headers, options: Options, _received_at: datetime) -> Parsed:
        """Return one event, or the reason why the payload makes none.

        Raises:
            ParseError: the payload does not say what it is about.
        """
        body = object_of(payload)
        return single(body, self._read(body if self.view is None else self.view(body), options))

    def _read(self, body: Body, options: Options) -> EventDraft | str:
        word, state = self._state(body)
        if isinstance(state, str):
            return state
        if state is State.ACKNOWLEDGED:
            return ACKNOWLEDGED
        # A key of values that are all text is shorter to read, but two tools may use one webhook.
        parts = [_identity(value_at(body, path)) for path in self.key]
        if not parts[0]:
            raise ParseError.at(self.key[0], "must be given")
        severity, remark = self._severity(body, word, options)
        title = bare_title(first_line(_first(body, self.titles))) or first_line(parts[0])
        description = _first(body, self.descriptions)
        return EventDraft(
            event_key=joined_key(self.name, *parts),
            event_type=state.event_type,
            title=title,
            description="" if description == title else description,
            severity=recovery_severity(severity, state.event_type, self.otherwise),
            rule=_first(body, self.rules),
            image_url=_first(body, self.images),
            resources=texts([name for path in self.resources for name in texts(value_at(body, path))]),
            provider=self.provider,
            account=_first(body, self.accounts),
            additional_info=extra_fields(**{name: value_at(body, path) for name, path in self.info.items()}),
            occurred_at=self._moment(body, state),
            remark=remark,
        )

    def _state(self, body: Body) -> tuple[str, State | str]:
        """Return the word of the state, and the state or the reason why the payload makes no event."""
        for path in self.states:
            if not (word := text(value_at(body, path))):
                continue
            state = self.state_words.get(word.lower()) or named_state(word)
            if state is not None:
                return word, state
        if any(means_over(value_at(body, path)) for path in self.severities):
            return "", State.RESOLVED
        word = state_in_title(first_line(_first(body, self.titles)))
        return word, named_state(word) or State.FIRING

    def _severity(self, body: Body, state_word: str, options: Options) -> tuple[Severity | None, str]:
        """Return the severity and "", or WARNING and a remark for a word that no table knows."""
        is_known = True
        for path in self.severities:
            if not (word := text(value_at(body, path))):
                continue
            severity = chosen_severity(word, options) if options else None
            severity = severity or self.severity_words.get(word.lower()) or named_severity(word)
            if severity is not None:
                return severity, ""
            is_known = is_known and named_state(word) is State.RESOLVED
        if not is_known:
            return Severity.WARNING, UNKNOWN_SEVERITY
        return severity_of_state(state_word), ""

    def _moment(self, body: Body, state: State) -> datetime | None:
        for path in self.ends if state is State.RESOLVED else self.starts:
            if (found := moment(value_at(body, path), self.zone)) is not None:
                return found
        return None


def _first(body: Body, paths: tuple[str, ...]) -> str:
    for path in paths:
        if found := text(value_at(body, path)):
            return found
    return ""


def _identity(value: Json) -> str:
    """Return a value as a part of the key: of lists and objects the scalars in them."""
    if isinstance(value, list):
        return "\n".join(texts(value))
    if isinstance(value, dict):
        return "\n".join(f"{name}={member}" for name, member in sorted(flat(value).items()))
    return text(value)
