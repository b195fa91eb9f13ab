"""Reading JSON that somebody else wrote: every value may be missing, null or of another type."""

from collections.abc import Iterable, Mapping
from typing import Any

from event_service.normalize.result import Json

_TITLE_LENGTH = 250  # characters
_NOTHING: Mapping[str, Any] = {}


def text(value: Json) -> str:
    """A scalar as trimmed text; "" for null, objects and lists.

    A whole number reads the same whether it came as JSON (44) or through a Struct, which has doubles only (44.0).
    """
    if type(value) is str:
        return value.strip()
    if isinstance(value, int):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return ""


def first(*values: Json) -> str:
    """The first of the values that is a scalar and not blank, as text."""
    for value in values:
        if found := text(value):
            return found
    return ""


def first_line(written: str) -> str:
    """The first line of a text, short enough for a title."""
    return written.strip().partition("\n")[0][:_TITLE_LENGTH].strip()


def mapping(value: Json) -> Mapping[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def objects(value: Json) -> list[dict[str, Any]]:
    """The objects of a list; [] where it is none."""
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else []


def texts(value: Json) -> list[str]:
    """The scalars of a list as text, blanks dropped, each once and in order. A scalar counts as a list of one."""
    members: Iterable[Json] = value if isinstance(value, list) else (value,)
    return list(dict.fromkeys(filter(None, map(text, members))))


def extra_fields(**values: Json) -> dict[str, Any]:
    """additional_info: the values that say something.

    Scalars are kept as text, lists as lists of text, objects as objects of text; what nests deeper stays in raw_data.
    """
    info: dict[str, Any] = {}
    for name, value in values.items():
        if type(value) is str:
            kept: Any = value.strip()
        elif isinstance(value, dict):
            kept = flat(value)
        elif isinstance(value, list):
            kept = texts(value)
        else:
            kept = text(value)
        if kept:
            info[name] = kept
    return info


def flat(value: Json) -> dict[str, str]:
    """The scalars of an object as text, by trimmed name; blanks dropped."""
    kept: dict[str, str] = {}
    for name, member in mapping(value).items():
        if found := text(member):
            kept[name.strip()] = found
    return kept


def trimmed(value: Json) -> Json:
    """The value with blanks cut from both ends of every text in it, keys included."""
    if type(value) is str:
        return value.strip()
    if isinstance(value, dict):
        return {
            name.strip(): member.strip() if type(member) is str else trimmed(member) for name, member in value.items()
        }
    if isinstance(value, list):
        return [trimmed(member) for member in value]
    return value


def clipped(value: Json, length: int = 60) -> str:
    """How a faulty value is shown in a message: short, on one line."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str) and len(value) > length:
        return repr(value[:length]) + "..."
    return repr(value)
