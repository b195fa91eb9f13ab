"""Read JSON of unknown origin: any value may be missing, null or of another type."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from event_service.normalize.result import Json, ParseError
from event_service.wire.json_text import NestedTooDeeply, NotJson, NotWritable, TooManyValues, parse_json

_TITLE_LENGTH = 250  # characters
_EMPTY: Mapping[str, Any] = {}


def text(value: Json) -> str:
    """Return a scalar as trimmed text; "" for null, objects and lists.

    A whole number gives the same text from JSON (44) and from a Struct, which has doubles only (44.0).
    """
    if type(value) is str:
        return value.strip()
    if isinstance(value, int):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return ""


def first(*values: Json) -> str:
    """Return the first non-blank scalar as text, or ""."""
    for value in values:
        if found := text(value):
            return found
    return ""


def first_line(written: str) -> str:
    """Return the first line of a text, at most 250 characters."""
    return written.strip().partition("\n")[0][:_TITLE_LENGTH].strip()


def words(written: str) -> frozenset[str]:
    """Return the words of a table."""
    return frozenset(written.split())


def mapping(value: Json) -> Mapping[str, Any]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else _EMPTY


def objects(value: Json) -> list[dict[str, Any]]:
    """Return the objects of a list; [] for any other value."""
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else []


def texts(value: Json) -> list[str]:
    """Return the distinct non-blank scalars of a list as text, in order. A scalar counts as a list of one."""
    members: Iterable[Json] = value if isinstance(value, list) else (value,)
    # dict keys: distinct, in order.
    return list(dict.fromkeys(filter(None, map(text, members))))


def extra_fields(**values: Json) -> dict[str, Any]:
    """Return the values that are not blank, as additional_info.

    Scalars are kept as text, lists as lists of text, objects as objects of text; deeper values stay in raw_data only.
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
    """Return the non-blank scalars of an object as text, by trimmed name."""
    kept: dict[str, str] = {}
    for name, member in mapping(value).items():
        if found := text(member):
            kept[name.strip()] = found
    return kept


def trimmed(value: Json) -> Json:
    """Return the value with every text in it trimmed, keys included."""
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
    """Return a value as it is shown in an error: short, on one line."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str) and len(value) > length:
        return repr(value[:length]) + "..."
    return repr(value)


def read_inner_json(written: bytes, path: str) -> Json:
    """Return the JSON value that a text field contains.

    Args:
        written: UTF-8.
        path: of the text in its payload.

    Raises:
        ValueError: not JSON, or over the limits of parse_json.
        ParseError: JSON that cannot be stored: NaN, an infinity, half of a surrogate pair.
    """
    try:
        return parse_json(written)
    except NotWritable as problem:
        raise ParseError.at(path, f"cannot be stored: {problem}", "not-json") from None
    except (NotJson, NestedTooDeeply, TooManyValues) as problem:
        raise ValueError("not JSON") from problem


def joined_key(*parts: str) -> str:
    """Return a key of 32 hexadecimal digits. The boundaries count: ("a", "bc") differs from ("ab", "c")."""
    written = "".join([f"{len(part)}:{part}" for part in parts])
    # surrogatepass: keys must not fail on text that is refused later with a better error.
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def upstream_key(*parts: str) -> str:
    """Return the key that upstream's plugin generates, so that alerts it opened are found."""
    written = ":".join(parts).encode("utf-8", "surrogatepass")
    # MD5 because upstream uses it; the key identifies, it protects nothing.
    return hashlib.md5(written, usedforsecurity=False).hexdigest()
