"""Encode Python values as google.protobuf.Struct bytes, without building messages.

Keys keep their order, which a protobuf library's own maps do not.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from math import isfinite
from struct import Struct as Layout
from typing import Any

from event_service.wire.errors import NOT_FINITE, NOT_UNICODE, TOO_BIG, RefusedValueError, TooDeepError
from event_service.wire.nesting import MAX_LEVEL, PAYLOAD_LEVEL
from event_service.wire.timestamps import format_timestamp
from event_service.wire.varint import REMEMBERED, Prefixes

# Tags of google/protobuf/struct.proto, each with the length of what follows.
_FIRST = Prefixes(0x0A)  # Struct.fields, its entries' key, ListValue.values
_SECOND = Prefixes(0x12)  # the entries' value
_STRING = Prefixes(0x1A)
_STRUCT = Prefixes(0x2A)
_LIST = Prefixes(0x32)
_NUMBER = 0x11
_NULL = b"\x08\x00"
_FALSE = b"\x20\x00"
_TRUE = b"\x20\x01"
_number: Callable[[int, float], bytes] = Layout("<Bd").pack


class _Texts(dict[int, bytes]):
    """Bytes between the key and the text of an entry: the tags and lengths of its Value and of the text."""

    def __missing__(self, length: int) -> bytes:
        before_text = _STRING[length]
        before = _SECOND[len(before_text) + length] + before_text
        if length < REMEMBERED:
            self[length] = before
        return before


class _Names(dict[str, bytes]):
    """An entry's key with its tag and length. Events of a kind share keys: caching saves half the time."""

    def __missing__(self, key: str) -> bytes:
        name = key.encode()
        name = _FIRST[len(name)] + name
        if len(name) <= _LONGEST_NAME:
            if len(self) >= _MOST_NAMES:
                self.clear()  # callers choose keys: the cache must not grow
            self[key] = name
        return name


_TEXT = _Texts()
_names = _Names()
_LONGEST_NAME, _MOST_NAMES = 64, 4096


def encode_struct(value: Mapping[str, Any], *, path: str = "data", level: int = PAYLOAD_LEVEL) -> bytes:
    """Return the serialised google.protobuf.Struct of an object.

    Args:
        value: keys str; values str, int, float, bool, None, datetime (written as in `format_timestamp`), and mappings
            and sequences of these. Numbers become doubles.
        path: what the caller knows the object as; the start of the field path in an error.
        level: the message level it will be read at, see `levels`.

    Raises:
        InvalidArgument: NaN, infinite, beyond a double, lone surrogates, nested too deeply, or of another type.
    """
    try:
        return _write_object(value, level)
    except RefusedValueError as refused:
        raise refused.at(path) from None


def encode_stored_struct(value: Mapping[str, Any], *, level: int = PAYLOAD_LEVEL, whole_at: str = "") -> bytes:
    """Return the serialised Struct of an object from the database, with values that cannot be encoded replaced.

    Numbers that are not finite or do not fit become null, lone surrogates the replacement character, what is nested
    too deeply null, and values of types that JSON does not have their text.

    Args:
        whole_at: where given, what is nested too deeply is refused under this field path.

    Raises:
        InvalidArgument: as `whole_at` says.
    """
    try:
        return _write_object(value, level)
    except RefusedValueError as refused:
        if whole_at and isinstance(refused, TooDeepError):
            raise refused.at(whole_at) from None
        return _write_object(_readable(value, level), level)


def _write_object(value: Mapping[str, Any], level: int) -> bytes:
    if level > MAX_LEVEL - 2 and (value or level > MAX_LEVEL):
        raise TooDeepError
    parts: list[bytes] = []
    for key, member in value.items():
        try:
            name = _names[key]
            if type(member) is str:
                content = member.encode()
                before = _TEXT[len(content)]
            else:
                content = _write_value(member, level + 2)
                before = _SECOND[len(content)]
        except UnicodeEncodeError:
            raise _refused(NOT_UNICODE, key) from None
        except AttributeError:
            raise _refused(f"a key must be a string, not {type(key).__name__}", str(key)) from None
        except RefusedValueError as refused:
            refused.steps.append(key)
            raise
        parts += (_FIRST[len(name) + len(before) + len(content)], name, before, content)
    return b"".join(parts)


def _write_list(value: Sequence[Any], level: int) -> bytes:
    if level > MAX_LEVEL - 1 and (value or level > MAX_LEVEL):
        raise TooDeepError
    parts: list[bytes] = []
    for position, member in enumerate(value):
        try:
            content = _write_value(member, level + 1)
        except UnicodeEncodeError:
            raise _refused(NOT_UNICODE, position) from None
        except RefusedValueError as refused:
            refused.steps.append(position)
            raise
        parts += (_FIRST[len(content)], content)
    return b"".join(parts)


def _write_value(value: Any, level: int) -> bytes:  # noqa: PLR0911 - one return a kind
    """Return the fields of a Value that is on `level`."""
    content: bytes
    kind = type(value)
    if kind is str:
        content = value.encode()
        return _STRING[len(content)] + content
    if kind is float:
        if value - value != 0.0:  # NaN or infinite
            raise RefusedValueError(NOT_FINITE)
        return _number(_NUMBER, value)
    if kind is int:
        try:
            return _number(_NUMBER, float(value))
        except OverflowError:
            raise RefusedValueError(TOO_BIG) from None
    if kind is bool:
        return _TRUE if value else _FALSE
    if value is None:
        return _NULL
    if kind is dict:
        content = _write_object(value, level + 1)
        return _STRUCT[len(content)] + content
    if kind is list:
        content = _write_list(value, level + 1)
        return _LIST[len(content)] + content
    return _write_value(_plain(value), level)


def _plain(value: Any) -> Any:
    """Return a value of a subclass or a related type as its JSON type."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, datetime):
        return format_timestamp(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    raise RefusedValueError(f"a {type(value).__name__} is not a JSON value")


def _refused(problem: str, step: str | int) -> RefusedValueError:
    refused = RefusedValueError(problem)
    refused.steps.append(step)
    return refused


def _readable(value: Any, level: int) -> Any:  # noqa: PLR0911 - one return a kind
    """Return `value` with everything replaced that `_write_object` refuses."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) < 1 << 1023 else None  # fits into a double
    if isinstance(value, Mapping):
        room = level <= MAX_LEVEL - 2
        return {_readable(str(key), 0): _below(member, level + 3) for key, member in value.items()} if room else {}
    if isinstance(value, (list, tuple)):
        return [_below(member, level + 2) for member in value] if level <= MAX_LEVEL - 1 else []
    if value is None or isinstance(value, datetime):
        return value
    return _readable(str(value), level)


def _below(value: Any, level: int) -> Any:
    """Return a member of an object or list, or None if a container would be too deep."""
    return None if level > MAX_LEVEL and isinstance(value, (Mapping, list, tuple)) else _readable(value, level)
