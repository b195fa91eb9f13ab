"""Scan serialised messages before they are parsed.

Parsed, a field of two bytes takes up to 200 bytes of memory, and protobuf holds the GIL until it has parsed the whole
message, also in a thread.
"""

from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from event_service.wire.varint import read_varint

_VARINT, _FIXED_64, _DELIMITED, _GROUP, _END_GROUP, _FIXED_32 = range(6)  # wire types


class TooManyFields(Exception):
    """The message has more fields than allowed."""


def split_field(wire: bytes, field: int, most_fields: int) -> tuple[bytes, list[memoryview]]:
    """Split a message into the contents of one field, and the other fields.

    Takes time for each field of the outermost level, whatever their size.

    Args:
        field: number of a message field, repeated or not.
        most_fields: limit of fields at the outermost level.

    Returns:
        The other fields, and the contents of each occurrence of the field, not copied.

    Raises:
        ValueError: the outermost level is not a message.
        TooManyFields: over the limit.
    """
    view = memoryview(wire)
    rest: list[memoryview] = []
    members: list[memoryview] = []
    position = groups = 0
    while position < len(wire):
        if len(rest) + len(members) == most_fields:
            raise TooManyFields
        tag, begin, end = _read_field(wire, position)
        groups += (tag & 7 == _GROUP) - (tag & 7 == _END_GROUP)
        if groups < 0:
            raise ValueError("group without a begin")
        if tag == field << 3 | _DELIMITED and not groups:
            members.append(view[begin:end])
        else:
            rest.append(view[position:end])
        position = end
    return b"".join(rest), members


def check_fields(wire: bytes | memoryview, message: type[Message], most_fields: int) -> None:
    """Check the number of fields of a message, at all levels: most take memory once parsed.

    Args:
        message: its type. The count ends where the message is malformed, since parsing refuses it there.

    Raises:
        TooManyFields: over the limit.
    """
    if len(wire) <= 2 * most_fields:  # a field takes two bytes or more
        return
    count = 0
    pending: list[tuple[int, int, Any]] = [(0, len(wire), message.DESCRIPTOR)]
    while pending:
        position, end, descriptor = pending.pop()
        contents = _message_fields(descriptor)
        while position < end:
            count += 1
            if count > most_fields:
                raise TooManyFields
            # Most tags and lengths have one byte; the calls of `_read_field` would take three times as long.
            tag, size = wire[position], wire[position + 1] if position + 1 < end else 0
            begin = position + 2
            if tag & 0x87 == _DELIMITED and size < 0x80:
                position = begin + size
            elif tag & 0x87 == _VARINT and size < 0x80:
                position = begin
            else:
                try:
                    tag, begin, position = _read_field(wire, position)
                except ValueError:
                    return
            if position > end:
                return
            if tag in contents:
                pending.append((begin, position, contents[tag]))


def _read_field(wire: bytes | memoryview, position: int) -> tuple[int, int, int]:
    """Return the tag of the field at `position`, and where its content begins and ends; a group's tags have none."""
    tag, begin = read_varint(wire, position)
    kind = tag & 7
    if kind == _DELIMITED:
        size, begin = read_varint(wire, begin)
        end = begin + size
    elif kind == _VARINT:
        _, end = read_varint(wire, begin)
    elif kind in (_GROUP, _END_GROUP):
        end = begin
    elif kind in (_FIXED_64, _FIXED_32):
        end = begin + (8 if kind == _FIXED_64 else 4)
    else:
        raise ValueError(f"wire type {kind}")
    if end > len(wire):
        raise ValueError("cut off")
    return tag, begin, end


@lru_cache(maxsize=64)
def _message_fields(descriptor: Descriptor) -> dict[int, Descriptor]:
    """Return the types of the fields that are messages, by their tags."""
    return {
        field.number << 3 | _DELIMITED: field.message_type
        for field in descriptor.fields
        if field.message_type is not None
    }
