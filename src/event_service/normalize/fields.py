"""Reading JSON that somebody else wrote: every value may be missing, null or of another type."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from event_service.normalize.result import Json, ParseError
from event_service.wire.json_text import NestedTooDeeply, NotJson, NotWritable, TooManyValues, parse_json

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


def read_inner_json(written: bytes, path: str) -> Json:
    """The value of a text that may be JSON.

    Args:
        written: UTF-8.
        path: where the text stands in its payload.

    Raises:
        ValueError: it is no JSON, or more of it than anybody reads.
        ParseError: it is JSON that could not be stored: NaN, an infinity, half of a surrogate pair.
    """
    try:
        return parse_json(written)
    except NotWritable as problem:
        raise ParseError.at(path, f"is no JSON that can be stored: {problem}", "not-json") from None
    except (NotJson, NestedTooDeeply, TooManyValues) as problem:
        raise ValueError("no JSON that can be read") from problem


def joined_key(*parts: str) -> str:
    """32 hexadecimal digits that stand for the parts, which are kept apart: ("a", "bc") is not ("ab", "c")."""
    written = "".join([f"{len(part)}:{part}" for part in parts])
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def upstream_key(*parts: str) -> str:
    """The key upstream's plugin makes of the same identity, so that alerts it opened are found again."""
    written = ":".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.md5(written, usedforsecurity=False).hexdigest()
