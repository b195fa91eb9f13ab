"""Validate JSON values of a request, to compare them with stored values."""

from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

from event_service.errors import QueryError
from event_service.query.fields import is_unicode

MAX_DEPTH = 64

Scalar: TypeAlias = "str | float | bool | datetime | None"
Value: TypeAlias = "Scalar | list[Value] | dict[str, Value]"


def json_value(value: object, at: str, depth: int = 0) -> Value:
    """Return a JSON value with every number as a double, like a Struct.

    Raises:
        QueryError: a key with a leading `$` or a NUL, nesting deeper than 64, a number beyond a double, a lone
            surrogate, or not JSON.
    """
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        if not is_unicode(value):
            raise QueryError.at(at, "contains half of a surrogate pair")
        return value
    if isinstance(value, int):
        try:
            return float(value)
        except OverflowError:
            raise QueryError.at(at, "the number is too large") from None
    if depth >= MAX_DEPTH:
        raise QueryError.at(at, f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        return [json_value(member, at, depth + 1) for member in value]
    if isinstance(value, Mapping):
        return {_key(key, at): json_value(member, at, depth + 1) for key, member in value.items()}
    raise QueryError.at(at, "not a JSON value")


def scalar(value: object, at: str) -> str | float | bool | None:
    """Return a JSON value that is neither a list nor an object.

    Raises:
        QueryError: as in `json_value`, or a list or an object.
    """
    plain = json_value(value, at)
    if isinstance(plain, list | dict | datetime):
        raise QueryError.at(at, "must be a string, a number, true, false or null")
    return plain


def text(value: object, at: str) -> str:
    """Return a string.

    Raises:
        QueryError: any other value.
    """
    if not isinstance(value, str):
        raise QueryError.at(at, "must be a string")
    if not is_unicode(value):
        raise QueryError.at(at, "contains half of a surrogate pair")
    return value


def boolean(value: object, at: str) -> bool:
    """Return a boolean; null is false.

    Raises:
        QueryError: any other value.
    """
    if value is None:
        return False
    if not isinstance(value, bool):
        raise QueryError.at(at, "must be true or false")
    return value


def integer(value: object, at: str, *, least: int, most: int) -> int:
    """Return a whole number within bounds.

    Raises:
        QueryError: any other value.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise QueryError.at(at, f"must be a whole number from {least} to {most}")
    return value


def members(value: object, at: str, most: int | None = None) -> list[object]:
    """Return a list; null is an empty one.

    Raises:
        QueryError: any other value, or more than `most` members: names the first that is too many.
    """
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise QueryError.at(at, "must be a list")
    if most is not None and len(value) > most:
        raise QueryError.at(f"{at}[{most}]", f"more than {most} members; send fewer")
    return list(value)


def mapping(value: object, at: str) -> Mapping[str, object]:
    """Return an object.

    Raises:
        QueryError: any other value.
    """
    if not isinstance(value, Mapping):
        raise QueryError.at(at, "must be an object")
    return value


def alias(item: Mapping[str, object], long: str, short: str) -> tuple[object, str]:
    """Return the member by its long or short name, None if it has neither, and the name found."""
    return (item[long], long) if long in item else (item.get(short), short)


def _key(key: object, at: str) -> str:
    name = text(key, at)
    if name.startswith("$") or "\0" in name:
        raise QueryError.at(
            at, f"an object with the key {name!r} cannot be compared: remove the leading '$' or the NUL"
        )
    return name
