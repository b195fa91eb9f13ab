"""Messages are divided and counted on the wire, never beyond their end, and as protobuf would parse them."""

import contextlib

import pytest
from google.protobuf import struct_pb2
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from event_service._gen.event_service.v1 import ingest_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.wire.scan import TooManyFields, check_fields, split_field
from event_service.wire.varint import read_varint, varint
from tests.unit.wire.nesting import delimited

FIELD = ingest_pb2.CreateBatchRequest.PAYLOADS_FIELD_NUMBER
DATA = event_pb2.CreateEventRequest.DATA_FIELD_NUMBER
MOST = 1000


@given(st.integers(0, 2**64 - 1), st.binary(max_size=5))
def test_varints_are_read_as_they_are_written(number: int, after: bytes) -> None:
    wire = varint(number)
    assert read_varint(b"xx" + wire + after, 2) == (number, 2 + len(wire))


@given(st.lists(st.text(max_size=200), max_size=5), st.text(max_size=5))
def test_split_keeps_every_byte_in_members_or_rest(keys: list[str], webhook_id: str) -> None:
    request = ingest_pb2.CreateBatchRequest(webhook_id=webhook_id, access_key="k")
    for key in keys:
        request.payloads.add(idempotency_key=key)
    rest, members = split_field(request.SerializeToString(), FIELD, MOST)
    assert [ingest_pb2.Payload.FromString(bytes(member)).idempotency_key for member in members] == keys
    request.ClearField("payloads")
    assert ingest_pb2.CreateBatchRequest.FromString(rest) == request


def test_fields_of_every_wire_type_are_passed_over() -> None:
    others = b"\x20\x05" + b"\x29" + bytes(8) + b"\x35" + bytes(4) + b"\x3b\x1a\x01b\x3c"
    assert split_field(others + b"\x1a\x01a" + others, FIELD, MOST) == (others * 2, [b"a"])


@pytest.mark.parametrize(
    "wire", [b"\x1a", b"\x1a\x02a", b"\x80" * 11, b"\x29\x00", b"\x0c", b"\x0e", b"\x1a" + b"\xff" * 9]
)
def test_non_message_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"varint|wire type|cut off|group"):
        split_field(wire, FIELD, MOST)


@given(st.binary(max_size=50))
def test_any_bytes_split_or_refused(wire: bytes) -> None:
    with contextlib.suppress(ValueError):
        split_field(wire, FIELD, MOST)


# Fields of the request in any order, repeated, of wrong types, in groups, with tags and lengths longer than necessary.
_LONG = st.sampled_from([b"\x8a\x00", b"\x92\x80\x00", b"\x9a\x80\x80\x00"])
_TEXTS = st.one_of(st.text(max_size=3).map(str.encode), st.binary(max_size=3))
_FIELDS = st.one_of(
    st.builds(delimited, st.sampled_from([0x0A, 0x12, 0x1A, 0x22]), _TEXTS),
    st.builds(lambda tag, text: tag + bytes([len(text) | 0x80, 0]) + text, _LONG, _TEXTS),
    st.sampled_from(
        [b"\x1a\x00", b"\x1a\x02\x0a\x00", b"\x08\x05", b"\x18" + b"\xff" * 9 + b"\x01", b"\x0d" + bytes(4)]
    ),
    st.sampled_from([b"\x0b", b"\x0c", b"\x1b", b"\x1c", b"\x23", b"\x24", b"\x19" + bytes(8), b"\x00\x00"]),
    st.binary(max_size=4),
)


@given(st.lists(_FIELDS, max_size=8).map(b"".join))
@example(b"\x23\x0a\x01a\x24\x0a\x01b\x23\x1a\x02\x0a\x00\x24")
def test_split_message_has_the_fields_that_protobuf_parses(wire: bytes) -> None:
    try:
        whole = event_pb2.CreateEventRequest.FromString(wire)
    except DecodeError:
        return
    rest, contents = split_field(wire, DATA, MOST)
    outline = event_pb2.CreateEventRequest.FromString(rest)
    assert (outline.webhook_id, outline.access_key) == (whole.webhook_id, whole.access_key)
    assert bool(contents) == whole.HasField("data")
    assert struct_pb2.Struct.FromString(b"".join(contents)) == whole.data


def test_split_stops_at_most_fields() -> None:
    wire = b"\x1a\x00" * MOST
    assert len(split_field(wire, FIELD, MOST)[1]) == MOST
    for field in (b"\x1a\x00", b"\x20\x00"):
        with pytest.raises(TooManyFields):
            split_field(wire + field, FIELD, MOST)


def _struct(values: bytes) -> bytes:
    """Return a Struct with one list of these values; four fields without them."""
    return _entry(b"\x32" + varint(len(values)) + values)


def _entry(value: bytes) -> bytes:
    content = b"\x0a\x01a\x12" + varint(len(value)) + value
    return b"\x0a" + varint(len(content)) + content


@pytest.mark.parametrize("count", [MOST - 4, MOST - 3])
def test_fields_are_counted_at_all_levels(count: int) -> None:
    wire = _struct(b"\x0a\x00" * count)
    with pytest.raises(TooManyFields) if count > MOST - 4 else contextlib.nullcontext():
        check_fields(wire, struct_pb2.Struct, MOST)


def test_texts_are_not_counted() -> None:
    check_fields(_entry(b"\x1a" + varint(9 * MOST) + b"\x0a" * 9 * MOST), struct_pb2.Struct, MOST)


def test_unknown_fields_are_counted() -> None:
    with pytest.raises(TooManyFields):
        check_fields(b"\x78\x00" * 2 * MOST, struct_pb2.Struct, MOST)


@given(st.binary(max_size=200))
def test_count_ends_for_any_bytes(wire: bytes) -> None:
    with contextlib.suppress(TooManyFields):
        check_fields(wire, struct_pb2.Struct, 3)
