"""Encode protobuf's variable-length integers, and the tag and length of length-delimited fields."""

REMEMBERED = 1 << 14  # lengths of two bytes; for longer contents the prefix costs nothing in comparison


def varint(number: int) -> bytes:
    """Encode `number` (0 or more) in base 128, least significant group first."""
    groups = bytearray()
    while number > 127:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def read_varint(wire: bytes | memoryview, position: int) -> tuple[int, int]:
    """Return the integer at `position`, and the position after it.

    Raises:
        ValueError: truncated, or more than ten bytes.
    """
    number = shift = 0
    for index in range(position, min(position + 10, len(wire))):
        byte = wire[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, index + 1
        shift += 7
    raise ValueError("not a varint")


class Prefixes(dict[int, bytes]):
    """A field's tag and length, cached by length: a look-up costs half of a call.

    Args:
        tag: field number * 8 + 2.
    """

    def __init__(self, tag: int) -> None:
        super().__init__()
        self._tag = varint(tag)

    def __missing__(self, length: int) -> bytes:
        prefix = self._tag + varint(length)
        if length < REMEMBERED:
            self[length] = prefix
        return prefix
