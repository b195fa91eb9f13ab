"""Payloads that resemble those of a tool, with invalid changes."""

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

PAYLOADS = Path(__file__).parents[1] / "unit" / "normalize" / "payloads"
EXPECTED: dict[str, dict[str, Any]] = json.loads((PAYLOADS / "expected.json").read_text())

# Words that parsers look for: mutations with them reach deeper code than random text.
_words = st.sampled_from(
    [
        "alert",
        "firing",
        "resolved",
        "ok",
        "closed",
        "OK",
        "ALARM",
        "trigger",
        "resolve",
        "acknowledge",
        "critical",
        "P1",
        "Sev0",
        "5",
        "0",
        "-1",
        "1e400",
        "null",
        "true",
        "2024-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "99999999999999999999",
        "{EVENT.ID}",
        "$ALERT_ID",
        "arn:aws:sns::::",
        "/subscriptions/",
        "[Triggered]",
        '{"a":1}',
        "[[]",
        "Notification",
        "https://[",
        "text/plain",
    ]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=20),
    _words,
)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.text(max_size=8), _words), inner, max_size=4)
    ),
    max_leaves=12,
)


def payloads_of(prefix: str) -> list[str]:
    """Return the names of the example payloads of one tool."""
    return [name for name in EXPECTED if name.startswith(prefix)]


@st.composite
def mutated(draw: st.DrawFn, names: list[str]) -> Any:
    """Return one of the named payloads after one to four changes."""
    payload = copy.deepcopy(json.loads((PAYLOADS / f"{draw(st.sampled_from(names))}.json").read_text()))
    for _ in range(draw(st.integers(1, 4))):
        payload = _mutate(draw, payload)
    return payload


def _mutate(draw: st.DrawFn, value: Any) -> Any:
    """Return the value with one change, or another value."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 9)) == 0:
        return _mutate_text(draw, value) if isinstance(value, str) else draw(json_values)
    if isinstance(value, list):
        index = draw(st.integers(0, len(value) - 1))
        match draw(st.sampled_from(["change", "change", "delete", "repeat"])):
            case "delete":
                return value[:index] + value[index + 1 :]
            case "repeat":
                return [*value, value[index]]
            case _:
                return [*value[:index], _mutate(draw, value[index]), *value[index + 1 :]]
    name = draw(st.sampled_from(sorted(value)))
    match draw(st.sampled_from(["change", "change", "change", "delete", "rename"])):
        case "delete":
            return {key: member for key, member in value.items() if key != name}
        case "rename":
            return {draw(st.text(max_size=8)) if key == name else key: member for key, member in value.items()}
        case _:
            return {**value, name: _mutate(draw, value[name])}


def _mutate_text(draw: st.DrawFn, value: str) -> Any:
    """Change JSON inside text as JSON; cut or replace other text."""
    if value.startswith('{"') and draw(st.booleans()):
        try:
            inner = json.loads(value)
        except ValueError:  # cut by a change before
            return value
        return json.dumps(_mutate(draw, inner))
    return draw(st.one_of(json_values, st.just(value[: len(value) // 2]), st.just(f" {value}\n")))
