"""The rules of a Cloud Eye request body, all checked before anything is stored.

Source: Tables 3 and 4 of "Reporting Events" (edition of 2023-05-06, called `seed` in the settings); dimensions,
sub_event_type and the limit of 100 events come from later editions. Ranges include both ends, lengths count code
points. Patterns name ASCII ranges and match the whole string, since `\\w` and `\\d` match letters of every script and
`$` matches before a trailing line feed.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from event_service.http.cloud_eye.events import milliseconds_of

MAX_EVENTS = 100

_PAST = timedelta(hours=1)
_FUTURE = timedelta(minutes=10)

_PROJECT_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_EVENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_EVENT_SOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,31}\.[A-Za-z][A-Za-z0-9_]{2,31}")
_RESOURCE_ID = re.compile(r"[A-Za-z0-9_:-]{0,128}")
_RESOURCE_NAME = {
    "seed": re.compile(r"[A-Za-z0-9_-]{0,128}"),
    "newer": re.compile(r"[A-Za-z0-9_.@\u3400-\u4dbf\u4e00-\u9fff-]{0,128}"),
}
_EVENT_USER = re.compile(r"[A-Za-z0-9_/ -]{0,64}")
_DIMENSION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")

# (path below the item, what is wrong)
_Problems = Iterator[tuple[str, str]]
_Check = Callable[[Any], str | None]
_Window = tuple[int, int]  # earliest and latest time of an event, milliseconds since 1970


@dataclass(frozen=True, slots=True)
class Fault:
    """A violated rule.

    Attributes:
        path: the field, such as `[0].detail.event_level`; "" for the body itself.
        problem: the rule, such as `must be an object`.
    """

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path} {self.problem}".strip()


@dataclass(frozen=True, slots=True)
class Rules:
    """The configurable part of the rules.

    Attributes:
        edition: `newer` allows `.`, `@` and Chinese in a resource_name.
        time_margin_seconds: subtracted from the hour an event may be old and the ten minutes it may be ahead.
    """

    edition: Literal["seed", "newer"] = "seed"
    time_margin_seconds: int = 20


def is_project_id(text: str) -> bool:
    """Check for a Cloud Eye project id: 1 to 64 letters, digits and hyphens."""
    return _PROJECT_ID.fullmatch(text) is not None


def is_event_name(text: str) -> bool:
    """Check for a valid event name: a letter, then up to 63 letters, digits and underscores."""
    return _EVENT_NAME.fullmatch(text) is not None


def find_faults(body: Any, now: datetime, rules: Rules) -> list[Fault]:
    """Check a parsed request body.

    Args:
        body: the parsed JSON.
        now: time of receipt, timezone-aware.

    Returns:
        Every fault, in the order of the body; empty if the body is valid.
    """
    if not isinstance(body, list):
        return [Fault("", f"the body must be an array of events, not {_kind(body)}")]
    if not 1 <= len(body) <= MAX_EVENTS:
        return [Fault("", f"the body must hold 1 to {MAX_EVENTS} events, not {len(body)}")]
    margin = timedelta(seconds=rules.time_margin_seconds)
    window = milliseconds_of(now - _PAST + margin), milliseconds_of(now + _FUTURE - margin)
    checks = _detail_checks(rules)
    return [
        Fault(f"[{index}]{path}", problem)
        for index, item in enumerate(body)
        for path, problem in _item_problems(item, window, checks)
    ]


def _item_problems(item: Any, window: _Window, checks: dict[str, _Check]) -> _Problems:
    if not isinstance(item, dict):
        yield "", f"must be an object, not {_kind(item)}"
        return
    for name, check in _ITEM_CHECKS.items():
        if problem := _mandatory(item.get(name), check):
            yield f".{name}", problem
    if problem := _mandatory(item.get("time"), lambda value: _time_problem(value, window)):
        yield ".time", problem
    detail = item.get("detail")
    if not isinstance(detail, dict):
        yield ".detail", "is mandatory" if detail is None else f"must be an object, not {_kind(detail)}"
        return
    for name, check in checks.items():
        if (value := detail.get(name)) is not None and (problem := check(value)):
            yield f".detail.{name}", problem
    if (dimensions := detail.get("dimensions")) is not None:
        for path, problem in _dimension_problems(dimensions):
            yield f".detail.dimensions{path}", problem


def _mandatory(value: Any, check: _Check) -> str | None:
    return "is mandatory" if value is None else check(value)


def _time_problem(value: Any, window: _Window) -> str | None:
    # bool is a subclass of int.
    if isinstance(value, bool) or not isinstance(value, int):
        problem = "must be an integer, milliseconds since 1970-01-01 UTC"
        if isinstance(value, float):
            return f"{problem}: without a fraction or a decimal point"
        if isinstance(value, str):
            return f"{problem}: a number, not a string"
        return f"{problem}, not {_kind(value)}"
    earliest, latest = window
    if earliest <= value <= latest:
        return None
    hint = ""
    if earliest <= value * 1000 <= latest + 1000:
        hint = "; this looks like seconds: multiply by 1000"
    elif earliest <= value // 1000 <= latest:
        hint = "; this looks like microseconds: divide by 1000"
    return f"must be between {earliest} and {latest}, the last hour to the next ten minutes, in milliseconds{hint}"


def _matches(pattern: re.Pattern[str], rule: str) -> _Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return f"must be a string, not {_kind(value)}"
        return None if pattern.fullmatch(value) else f"must be {rule}"

    return check


def _at_most(characters: int) -> _Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return f"must be a string, not {_kind(value)}"
        return None if len(value) <= characters else f"must be at most {characters} characters, not {len(value)}"

    return check


def _one_of(*words: str) -> _Check:
    def check(value: Any) -> str | None:
        return None if isinstance(value, str) and value in words else f"must be {' or '.join(words)}"

    return check


def _event_type(value: Any) -> str | None:
    if value == "EVENT.SYS":
        return "must be EVENT.CUSTOM: system events cannot be reported"
    return None if value == "EVENT.CUSTOM" else "must be EVENT.CUSTOM"


_ITEM_CHECKS: dict[str, _Check] = {
    "event_name": _matches(_EVENT_NAME, "1 to 64 letters, digits and underscores, and start with a letter"),
    "event_source": _matches(
        _EVENT_SOURCE,
        "of the form service.item, each 3 to 32 letters, digits and underscores that start with a letter",
    ),
}
_DIMENSION_CHECKS: dict[str, _Check] = {
    "name": _matches(_DIMENSION_NAME, "1 to 32 letters, digits, underscores and hyphens, and start with a letter"),
    "value": _matches(re.compile(r"(?s:.){1,256}"), "1 to 256 characters"),
}


def _detail_checks(rules: Rules) -> dict[str, _Check]:
    kinds = "letters, digits, underscores, hyphens"
    more = ", dots, @ and Chinese characters" if rules.edition == "newer" else ""
    return {
        "content": _at_most(4096),
        "group_id": _at_most(128),
        "resource_id": _matches(_RESOURCE_ID, f"at most 128 {kinds} and colons"),
        "resource_name": _matches(_RESOURCE_NAME[rules.edition], f"at most 128 {kinds}{more}"),
        "event_state": _one_of("normal", "warning", "incident"),
        "event_level": _one_of("Critical", "Major", "Minor", "Info"),
        "event_user": _matches(_EVENT_USER, f"at most 64 {kinds}, slashes and spaces"),
        "event_type": _event_type,
        "sub_event_type": _one_of("SUB_EVENT.CUSTOM"),
    }


def _dimension_problems(dimensions: Any) -> _Problems:
    if not isinstance(dimensions, list):
        yield "", f"must be an array, not {_kind(dimensions)}"
        return
    if len(dimensions) > 4:
        yield "", f"must hold at most 4 dimensions, not {len(dimensions)}"
        return
    for index, dimension in enumerate(dimensions):
        if not isinstance(dimension, dict):
            yield f"[{index}]", f"must be an object, not {_kind(dimension)}"
            continue
        for name, check in _DIMENSION_CHECKS.items():
            if problem := _mandatory(dimension.get(name), check):
                yield f"[{index}].{name}", problem


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for kind, name in ((str, "a string"), (int, "a number"), (float, "a number"), (list, "an array")):
        if isinstance(value, kind):
            return name
    return "an object"
