"""JSON that can be stored and written again; errors give the reason."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.wire.json_text import MAX_VALUES, NestedTooDeeply, NotJson, TooManyValues, parse_json


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b"\xef\xbb\xbf[]", []),
        (b" null ", None),
        ('"é 中 \U0001f600"'.encode(), "é 中 \U0001f600"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\u0000"', "\x00"),
        (b"9223372036854775807", 2**63 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"1.7976931348623157e308", 1.7976931348623157e308),
        (b'{"$set": 1, "a.b": 2, "": 3}', {"$set": 1, "a.b": 2, "": 3}),
    ],
)
@pytest.mark.parametrize("unique_keys", [True, False])
def test_valid_json(body: bytes, value: Any, unique_keys: bool) -> None:
    assert parse_json(body, unique_keys=unique_keys) == value


def test_control_characters_in_strings_only_without_unique_keys() -> None:
    assert parse_json(b'"a\nb\t"') == "a\nb\t"
    with pytest.raises(NotJson):
        parse_json(b'"a\nb"', unique_keys=True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"{'a': 1}",
        b"[1,]",
        b"[] []",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"-1e0999",
        b"1" + b"0" * 400 + b".5",
        b'"\xe9"',
        b'"\\ud83d"',
        b'{"\\udc00": 1}',
        "[]".encode("utf-16"),
    ],
)
@pytest.mark.parametrize("unique_keys", [True, False])
def test_invalid_json_refused(body: bytes, unique_keys: bool) -> None:
    with pytest.raises(NotJson):
        parse_json(body, unique_keys=unique_keys)


def test_duplicate_key() -> None:
    body = b'{"a": 1, "b": {"c": 1, "c": 2}}'
    assert parse_json(body) == {"a": 1, "b": {"c": 2}}
    with pytest.raises(NotJson, match="duplicate key 'c'"):
        parse_json(body, unique_keys=True)


@pytest.mark.parametrize("body", [b"9223372036854775808", b"-9223372036854775809", b"1" + b"0" * 30])
def test_an_integer_beyond_64_bits(body: bytes) -> None:
    value = parse_json(body)
    assert isinstance(value, float)
    assert value == float(body)
    with pytest.raises(NotJson, match="64 bits"):
        parse_json(body, unique_keys=True)


def test_an_integer_beyond_a_double() -> None:
    with pytest.raises(NotJson, match="too large"):
        parse_json(b"9" * 5000)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000])
def test_extreme_nesting_raises(body: bytes) -> None:
    with pytest.raises(NestedTooDeeply):
        parse_json(body)


def test_a_million_values_and_one_more() -> None:
    assert len(parse_json(b"[" + b"1," * (MAX_VALUES - 1) + b"1]")) == MAX_VALUES
    with pytest.raises(TooManyValues):
        parse_json(b"[" + b"[]," * MAX_VALUES + b"1]")


@pytest.mark.parametrize("member", [b"{}", b"[ ]", b'""', b'","'])
def test_empty_members_are_a_value_each(member: bytes) -> None:
    assert len(parse_json(b"[" + (member + b",") * 600_000 + b"1]")) == 600_001


@pytest.mark.parametrize("member", [b"[0]", b'[""]', b'{"a":{}}'])
def test_what_is_in_a_member_counts_too(member: bytes) -> None:
    with pytest.raises(TooManyValues):
        parse_json(b"[" + (member + b",") * 600_000 + b"1]")


def test_non_json_with_many_commas_is_not_json() -> None:
    with pytest.raises(NotJson):
        parse_json(b"a,b\n" * MAX_VALUES * 2)


def test_commas_in_strings_not_counted() -> None:
    text = 'a,\\"[{' * MAX_VALUES
    assert len(parse_json(b'["' + text.encode() + b'"]')[0]) == MAX_VALUES * 5


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    for unique_keys in (True, False):
        with contextlib.suppress(NotJson, NestedTooDeeply):
            parse_json(body, unique_keys=unique_keys)


def test_large_body_parses_equal_without_blocking_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"a": [{"b": 1, "b": 2}, {}, []], "c": {"d": null}, "c": {"e": 1.5}}'
    value = parse_json(body)
    calls: list[object] = []
    monkeypatch.setattr("event_service.wire.json_text.LARGE_BODY", len(body) - 1)
    monkeypatch.setattr("event_service.wire.json_text._object", lambda pairs: calls.append(pairs) or dict(pairs))
    assert parse_json(body) == value == {"a": [{"b": 2}, {}, []], "c": {"e": 1.5}}
    assert len(calls) == 5
