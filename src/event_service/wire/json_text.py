"""Parse JSON by RFC 8259: UTF-8, no NaN and no Infinity, no value that cannot be stored or written again."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

LARGE_BODY = 64 * 1024
"""Bytes. Larger bodies are parsed in a thread, since they would block all other calls for too long."""

_LARGEST_INTEGER = 2**63 - 1
_SMALLEST_INTEGER = -(2**63)
# 16 MB of `[],` would be 350 MB of lists and block all other calls for seconds.
MAX_VALUES = 1_000_000
MAX_LINES = 100_000
"""Values of one body of JSON lines: ten times as many as one delivery may hold."""
_ONE_VALUE = json.JSONDecoder(strict=False)
_BLANK_COLONS = (b" :", b"\t:", b"\r:", b"\n:")
_CONTAINER = re.compile(r"[ \t\r\n]*[\[{]")
# Only bodies with such an escape need a check of each text.
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


class NotJson(Exception):
    """The body is not JSON; the message is the reason."""


class NotWritable(NotJson):
    """The JSON holds what JSON cannot express again: NaN, an infinity, half of a surrogate pair."""


class TooManyValues(Exception):
    """The text has too many values."""


class NestedTooDeeply(Exception):
    """The JSON is nested too deeply for the parser."""


def parse_json(body: bytes, *, unique_keys: bool = False, most_values: int = MAX_VALUES) -> Any:
    """Parse a body.

    Args:
        body: UTF-8, with or without a byte order mark.
        unique_keys: refuse duplicate keys, integers beyond 64 bits and control characters in strings; otherwise the
            last value of a key counts, such an integer becomes a double, like in google.protobuf.Struct, and a line
            feed or tab that a template did not escape is part of its string.
        most_values: limit of nested values.

    Raises:
        NotJson: the body is not UTF-8, or not JSON.
        NotWritable: NaN, an infinity or half of a surrogate pair.
        NestedTooDeeply: some thousand nested brackets.
        TooManyValues: more than `most_values`.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8: byte {error.start} cannot be decoded") from None
    if _holds_too_many_values(text, body, most_values):
        raise TooManyValues
    options: dict[str, Any] = {"parse_constant": _refuse_constant, "strict": unique_keys}
    if _may_hold_large_numbers(body):
        options["parse_float"] = _finite
        options["parse_int"] = _small_integer if unique_keys else _integer_or_double
    if unique_keys:
        options["object_pairs_hook"] = _unique
    elif len(body) > LARGE_BODY:
        options["object_pairs_hook"] = _object
    try:
        value = json.loads(text, **options)
        # json accepts "\ud800", which UTF-8 cannot encode.
        if _SURROGATE_ESCAPE.search(body):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise NestedTooDeeply from None
    except UnicodeEncodeError:
        raise NotWritable("half of a surrogate pair is not a character") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    return value


def parse_json_lines(body: bytes) -> list[Any]:
    """Parse JSON lines: values on lines of their own, or several objects on one line.

    Args:
        body: UTF-8, with or without a byte order mark.

    Returns:
        The values; a line, or its rest, that is not JSON is kept as text.

    Raises:
        NotJson: the body is not UTF-8.
        NestedTooDeeply, TooManyValues: as `parse_json`.
    """
    try:
        # Record separators: RFC 7464, application/json-seq.
        text = body.decode("utf-8-sig").replace("\x1e", "\n")
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8: byte {error.start} cannot be decoded") from None
    values: list[Any] = []
    for line in text.split("\n"):
        for value in _values_of_line(line.strip()):
            values.append(value)
            if len(values) > MAX_LINES:
                raise TooManyValues
    return values


def _values_of_line(line: str) -> Iterator[Any]:
    if not line:
        return
    try:
        yield parse_json(line.encode())
    except NotJson:
        pass
    else:
        return
    # A cursor, because slicing the rest for each object would cost quadratic time.
    position = 0
    while position < len(line):
        try:
            end = _ONE_VALUE.raw_decode(line, position)[1]
            value = parse_json(line[position:end].encode())
        except (ValueError, NotJson):
            yield line[position:]
            return
        except RecursionError:
            raise NestedTooDeeply from None
        yield value
        position = end
        while position < len(line) and line[position] in " \t\r,":
            position += 1


def duplicate_key(body: bytes, value: Any) -> str:
    """Return a key that an object of the body has twice, or "".

    Args:
        value: as `parse_json` returned it for this body.
    """
    keys, rest = 0, [value]
    while rest:
        one = rest.pop()
        if type(one) is dict:
            keys += len(one)
            rest += one.values()
        elif type(one) is list:
            rest += one
    # Escaped quotes and blanks in strings can make this count too large, nothing can make it too small.
    if body.count(b'":') + sum(body.count(blank) for blank in _BLANK_COLONS) == keys:
        return ""
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        if not found and len(dict(pairs)) != len(pairs):
            seen: set[str] = set()
            found.extend(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]

    # A body of another form, such as `payload=…`, is not JSON as a whole.
    with suppress(ValueError):
        json.loads(body.decode("utf-8-sig"), strict=False, object_pairs_hook=note)
    return found[0] if found else ""


def _holds_too_many_values(text: str, body: bytes, most: int) -> bool:
    # The quick count includes commas inside strings; only a suspicious body is counted exactly.
    if _values(body) <= most or not _CONTAINER.match(text):
        return False
    return _values(_outside_strings(body, most)) > most


def _values(text: bytes) -> int:
    """Count nested values: each is the first of a list or an object, or follows a comma."""
    containers = text.count(b"[") + text.count(b"{") - text.count(b"[]") - text.count(b"{}")
    return text.count(b",") + containers


def _outside_strings(body: bytes, most: int) -> bytes:
    """Return the JSON with a mark for each string and without blanks, or the body if its strings alone are too many."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 4 * most:
        return body
    return b'"'.join(plain.split(b'"')[::2]).translate(None, b" \t\r\n")


# Digits become 0, exponents e: searching fixed strings is 20 times as fast as an unanchored regular expression.
_NUMBER_SHAPES = bytes(
    ord("0") if 0x30 <= code <= 0x39 else ord("e") if code in b"eE" else code if code == ord("+") else ord(" ")
    for code in range(256)
)


def _may_hold_large_numbers(body: bytes) -> bool:
    """Return False if every number surely fits into 64 bits: no 17 digits in a row, no three-digit exponent."""
    shapes = body.translate(_NUMBER_SHAPES)
    return b"0" * 17 in shapes or b"e000" in shapes or b"e+000" in shapes


def _refuse_constant(name: str) -> NoReturn:
    raise NotWritable(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotWritable(f"the number {_shortened(text)} is too large")
    return number


def _small_integer(text: str) -> int:
    # int() of a long text takes quadratic time.
    number = int(text) if len(text) <= 20 else _LARGEST_INTEGER + 1
    if not _SMALLEST_INTEGER <= number <= _LARGEST_INTEGER:
        raise NotJson(f"the integer {_shortened(text)} is beyond 64 bits")
    return number


def _integer_or_double(text: str) -> int | float:
    if len(text) <= 20 and _SMALLEST_INTEGER <= int(text) <= _LARGEST_INTEGER:
        return int(text)
    return _finite(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object in Python code: json's C code would keep the GIL, and with it the event loop, to the end."""
    return dict(pairs)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise NotJson(f"duplicate key {_shortened(name)!r} in an object")
            seen.add(name)
    return value


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."
