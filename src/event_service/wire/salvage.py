"""Salvage the readable members of a repeated field from a message that protobuf refuses."""

from event_service.wire.varint import read_varint

_VARINT, _FIXED_64, _DELIMITED, _FIXED_32 = 0, 1, 2, 5  # wire types


def salvage_repeated(wire: bytes, field: int) -> tuple[bytes, list[bytes]]:
    """Split a message into the contents of one repeated field, and the other fields.

    protobuf refuses the whole message if one member is nested too deeply or is not UTF-8.

    Args:
        field: number of a repeated message field.

    Raises:
        ValueError: the outermost level is not a message.
    """
    rest: list[bytes] = []
    members: list[bytes] = []
    position = 0
    while position < len(wire):
        tag, begin = read_varint(wire, position)
        kind = tag & 7
        if kind == _VARINT:
            _, end = read_varint(wire, begin)
        elif kind == _DELIMITED:
            size, begin = read_varint(wire, begin)
            end = begin + size
        elif kind in (_FIXED_64, _FIXED_32):
            end = begin + (8 if kind == _FIXED_64 else 4)
        else:
            raise ValueError(f"wire type {kind}")
        if end > len(wire):
            raise ValueError("cut off")
        if tag == field << 3 | _DELIMITED:
            members.append(wire[begin:end])
        else:
            rest.append(wire[position:end])
        position = end
    return b"".join(rest), members
