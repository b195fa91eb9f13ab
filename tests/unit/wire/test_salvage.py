"""A damaged message is split into members and the rest, never beyond its end."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service._gen.event_service.v1 import ingest_pb2
from event_service.wire.salvage import salvage_repeated
from event_service.wire.varint import read_varint, varint

FIELD = ingest_pb2.CreateBatchRequest.PAYLOADS_FIELD_NUMBER


@given(st.integers(0, 2**64 - 1), st.binary(max_size=5))
def test_varints_are_read_as_they_are_written(number: int, after: bytes) -> None:
    wire = varint(number)
    assert read_varint(b"xx" + wire + after, 2) == (number, 2 + len(wire))


@given(st.lists(st.text(max_size=200), max_size=5), st.text(max_size=5))
def test_salvage_keeps_every_byte_in_members_or_rest(keys: list[str], webhook_id: str) -> None:
    request = ingest_pb2.CreateBatchRequest(webhook_id=webhook_id, access_key="k")
    for key in keys:
        request.payloads.add(idempotency_key=key)
    rest, members = salvage_repeated(request.SerializeToString(), FIELD)
    assert [ingest_pb2.Payload.FromString(member).idempotency_key for member in members] == keys
    request.ClearField("payloads")
    assert ingest_pb2.CreateBatchRequest.FromString(rest) == request


def test_fields_of_every_wire_type_are_passed_over() -> None:
    others = b"\x20\x05" + b"\x29" + bytes(8) + b"\x35" + bytes(4)
    assert salvage_repeated(others + b"\x1a\x01a" + others, FIELD) == (others * 2, [b"a"])


@pytest.mark.parametrize(
    "wire", [b"\x1a", b"\x1a\x02a", b"\x80" * 11, b"\x29\x00", b"\x0b", b"\x0c", b"\x1a" + b"\xff" * 9]
)
def test_non_message_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"varint|wire type|cut off"):
        salvage_repeated(wire, FIELD)


@given(st.binary(max_size=50))
def test_any_bytes_salvaged_or_refused(wire: bytes) -> None:
    with contextlib.suppress(ValueError):
        salvage_repeated(wire, FIELD)
