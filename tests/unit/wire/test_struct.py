"""Payloads have the same meaning as in protobuf; unreadable ones are refused with their path."""

import math
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.errors import InvalidArgument
from event_service.wire.struct_decode import list_to_python, struct_to_dict, struct_wire, value_to_python
from event_service.wire.struct_encode import encode_stored_struct, encode_struct
from tests.unit.wire.decoding import decode_struct
from tests.unit.wire.json_values import objects
from tests.unit.wire.nesting import delimited, example, nested, nested_wire

MONSTERS = ["o" * 33, "o" * 32 + "l", "o" + "l" * 48, "o" * 31 + "lll"]
ONE_TOO_MANY = ["o" * 34, "o" * 32 + "ll", "oll" + "o" * 31, "o" + "l" * 49, "o" * 31 + "llll"]


def as_library(value: dict[str, Any]) -> struct_pb2.Struct:
    return json_format.ParseDict(value, struct_pb2.Struct())


def equal(left: Any, right: Any) -> bool:
    """Return True for equal values, including the sign of zero; numbers compare as doubles."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, (int, float)) and not isinstance(left, bool):
        same = isinstance(right, (int, float)) and not isinstance(right, bool) and float(left) == float(right)
        return same and math.copysign(1, left) == math.copysign(1, right)
    return type(left) is type(right) and bool(left == right)


@given(objects)
def test_written_bytes_are_what_protobuf_would_have_written(value: dict[str, Any]) -> None:
    wire = encode_struct(value)
    message = struct_pb2.Struct.FromString(wire)
    assert message == as_library(value)
    assert len(wire) == message.ByteSize()


@given(objects)
def test_every_payload_comes_back_equal(value: dict[str, Any]) -> None:
    assert equal(decode_struct(as_library(value).SerializeToString()), value)
    assert equal(decode_struct(encode_struct(value)), value)


@given(objects)
def test_reading_agrees_with_protobuf(value: dict[str, Any]) -> None:
    message = as_library(value)
    assert struct_to_dict(message) == json_format.MessageToDict(message)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(wire: bytes) -> None:
    try:
        value = decode_struct(wire)
    except InvalidArgument:
        return
    assert equal(decode_struct(encode_struct(value)), value)


@given(st.binary(max_size=6), st.integers(0, 60), st.booleans())
def test_damaged_bytes_are_read_as_protobuf_reads_them_or_refused(patch: bytes, at: int, insert: bool) -> None:
    wire = example().SerializeToString(deterministic=True)
    damaged = wire[:at] + patch + wire[at if insert else at + len(patch) :]
    try:
        value = decode_struct(damaged)
    except InvalidArgument:
        return
    assert value == json_format.MessageToDict(struct_pb2.Struct.FromString(damaged))


def test_keys_are_written_in_their_order() -> None:
    keys = [f"key-{number * 7919 % 100}" for number in range(100)]
    wire = encode_struct(dict.fromkeys(keys, 1))
    assert [key for _, key in sorted((wire.index(delimited(0x0A, key.encode())), key) for key in keys)] == keys


def test_numbers_are_doubles() -> None:
    read = decode_struct(
        encode_struct({"big": 9007199254740993, "huge": 10**300, "whole": 3.0, "half": 0.5, "zero": -0.0})
    )
    assert read["big"] == 9007199254740992.0
    assert isinstance(read["big"], float)
    assert read["huge"] == 1e300
    assert isinstance(read["whole"], int)
    assert read["half"] == 0.5
    assert math.copysign(1, read["zero"]) == -1


def test_kindred_types_are_written_as_what_they_stand_for() -> None:
    class Colour(StrEnum):
        RED = "red"

    class Level(IntEnum):
        HIGH = 3

    class Celsius(float):
        pass

    moment = datetime(2026, 1, 1, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    value = {
        "a": Colour.RED,
        "b": moment,
        "c": (1, 2),
        "d": MappingProxyType({"e": 1}),
        "f": moment.replace(tzinfo=UTC),
    }
    value |= {"g": Level.HIGH, "h": Celsius(36.5)}
    assert decode_struct(encode_struct(value)) == {
        "a": "red",
        "b": "2026-01-01T00:00:00.123Z",
        "c": [1, 2],
        "d": {"e": 1},
        "f": "2026-01-01T09:00:00.123Z",
        "g": 3,
        "h": 36.5,
    }


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": [1, 2, 3, math.nan]}, "data.a[3]"),
        ({"a": {"b": -math.inf}}, "data.a.b"),
        ({"a": [[], [math.inf]]}, "data.a[1][0]"),
        ({"a": [10**400]}, "data.a[0]"),
        ({"a": "\ud800"}, "data.a"),
        ({"a": ["\udfff"]}, "data.a[0]"),
        ({"a": {"\ud83d": 1}}, "data.a.?"),
        ({"a": {3: 1}}, "data.a.3"),
        ({"a": b"bytes"}, "data.a"),
        ({"a": {"b": object()}}, "data.a.b"),
    ],
)
def test_values_json_lacks_refused_with_path(value: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode_struct(value)
    assert [violation.field for violation in caught.value.violations] == [field]
    assert caught.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nan_refused_on_the_wire(number: float) -> None:
    message = example()
    message.fields["a"].list_value.values[1].struct_value.fields["b"].number_value = number
    with pytest.raises(InvalidArgument) as caught:
        decode_struct(message.SerializeToString())
    assert caught.value.violations[0].field == "data.a[1].b"


def test_long_path_truncated() -> None:
    with pytest.raises(InvalidArgument) as caught:
        encode_struct({"k" * 100_000: math.nan})
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        (b"", {}),
        (delimited(0x0A, delimited(0x0A, b"a")), {"a": None}),
        (delimited(0x0A, delimited(0x0A, b"a") + b"\x12\x00"), {"a": None}),
        (delimited(0x0A, b"\x12\x02\x20\x01"), {"": True}),
        (delimited(0x0A, b"\x12\x02\x20\x01" + delimited(0x0A, b"a")), {"a": True}),
        (delimited(0x0A, b"\x0a\x01a\x12\x02\x20\x01") + delimited(0x0A, b"\x0a\x01a\x12\x02\x20\x00"), {"a": False}),
        (delimited(0x0A, b"\x0a\x01a\x12\x05\x1a\x01x\x20\x01"), {"a": True}),
        (delimited(0x0A, b"\x0a\x01a\x12\x05\x20\x01\x1a\x01x"), {"a": "x"}),
        (delimited(0x0A, b"\x0a\x01a\x12\x02\x08\x07"), {"a": None}),
        (b"\x7a\x03abc", {}),
    ],
    ids=["empty", "no value", "no kind", "no key", "swapped", "twice", "two kinds", "other two", "odd null", "unknown"],
)
def test_unusual_bytes_decoded_like_protobuf(wire: bytes, value: dict[str, Any]) -> None:
    assert decode_struct(wire) == value
    assert json_format.MessageToDict(struct_pb2.Struct.FromString(wire)) == value


@pytest.mark.parametrize(
    "wire",
    [b"\x0a", b"\x0a\xff", b"\x0a\x05abc", b"\x0b", b"\xff" * 20, delimited(0x0A, b"\x0a\x01\xff\x12\x00"),
     delimited(0x0A, b"\x0a\x03\xed\xa0\x80\x12\x00")],
    ids=["cut", "length cut", "short", "group", "varint", "not UTF-8", "surrogate"],
)  # fmt: skip
def test_garbage_is_refused(wire: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_struct(wire)
    assert caught.value.violations[0].field == "request"


def readable_in_a_list(struct: bytes) -> bool:
    try:
        event_pb2.EventsInfo.FromString(delimited(0x0A, delimited(0x6A, struct)))
    except Exception:
        return False
    return True


@pytest.mark.parametrize("shape", MONSTERS)
def test_deepest_payloads_accepted(shape: str) -> None:
    assert encode_struct(nested(shape, None)) == nested_wire(shape)
    assert decode_struct(nested_wire(shape)) == nested(shape, None)
    assert readable_in_a_list(nested_wire(shape))


@pytest.mark.parametrize("shape", ONE_TOO_MANY)
def test_one_level_more_refused(shape: str) -> None:
    assert not readable_in_a_list(nested_wire(shape))
    for refusing in (lambda: encode_struct(nested(shape)), lambda: decode_struct(nested_wire(shape))):
        with pytest.raises(InvalidArgument) as caught:
            refusing()
        assert caught.value.violations[0].field in {"data", "request"}  # the latter where protobuf reads it no more


@given(st.text("ol", min_size=30, max_size=52), st.sampled_from([b"", b"\x08\x00", b"\x2a\x00", b"\x32\x00"]))
def test_the_limit_is_exactly_what_a_list_can_be_read_with(shape: str, innermost: bytes) -> None:
    wire = nested_wire("o" + shape, innermost)
    leaf = {b"\x2a\x00": {}, b"\x32\x00": []}.get(innermost)
    try:
        encode_struct(nested("o" + shape, leaf))
        decode_struct(wire)
    except InvalidArgument:
        assert not readable_in_a_list(wire)
    else:
        assert readable_in_a_list(wire)


def test_extreme_nesting_refused() -> None:
    with pytest.raises(InvalidArgument):
        decode_struct(nested_wire("o" * 10_000))
    with pytest.raises(InvalidArgument):
        encode_struct(nested("ol" * 5_000))


def test_unknown_struct_fields_discarded() -> None:
    groups = b"\x7b" * 90 + b"\x7c" * 90
    message = struct_pb2.Struct.FromString(b"\x0a\x08\x0a\x01a\x12\x03\x7a\x01x" + groups)
    assert struct_wire(message) == b"\x0a\x05\x0a\x01a\x12\x00"


def test_values_and_lists_of_messages() -> None:
    message = example()
    assert value_to_python(message.fields["a"], path="v") == [1, {"b": "c"}]
    assert list_to_python(message.fields["a"].list_value, path="v") == [1, {"b": "c"}]
    message.fields["a"].list_value.values[0].number_value = math.nan
    for refusing in (
        lambda: value_to_python(message.fields["a"], path="v"),
        lambda: list_to_python(message.fields["a"].list_value, path="v"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            refusing()
        assert caught.value.violations[0].field == "v[0]"


def test_stored_values_made_encodable() -> None:
    stored = {
        "nan": math.nan, "huge": 10**400, "half": "\ud800", "bytes": b"x", "list": [math.inf, 1], "fine": {"a": "b"},
        "date": datetime(2026, 1, 1, tzinfo=UTC), 5: "five", "deep": nested("ol" * 40), "flag": True,
    }  # fmt: skip
    wire = encode_stored_struct(stored)
    assert readable_in_a_list(wire)
    read = decode_struct(wire)
    deep = read.pop("deep")
    assert isinstance(deep["a"][0]["a"][0], dict)
    assert read == {
        "nan": None, "huge": None, "half": "?", "bytes": "b'x'", "list": [None, 1], "fine": {"a": "b"},
        "date": "2026-01-01T00:00:00.000Z", "5": "five", "flag": True,
    }  # fmt: skip


@given(st.text("ol", max_size=60), st.sampled_from([1, {}, [], {"x": 1}, [[]]]))
def test_stored_values_of_any_depth_made_encodable(shape: str, innermost: Any) -> None:
    wire = encode_stored_struct(nested("o" + shape, innermost))
    assert readable_in_a_list(wire)
    decode_struct(wire)


def test_a_hundred_thousand_keys() -> None:
    value = {f"key-{number}": number for number in range(100_000)}
    assert decode_struct(encode_struct(value)) == value
