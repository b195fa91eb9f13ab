"""Payloads of a chosen shape: `nested("oll")` is an object around two lists around a number."""

from typing import Any

from google.protobuf import struct_pb2


def nested(shape: str, innermost: Any = 1) -> Any:
    value = innermost
    for container in reversed(shape):
        value = {"a": value} if container == "o" else [value]
    return value


def delimited(tag: int, content: bytes) -> bytes:
    size, length = bytearray(), len(content)
    while length > 127:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes((tag, *size)) + content


def nested_wire(shape: str, innermost: bytes = b"\x08\x00") -> bytes:
    """Return the Struct of `nested(shape)` at any depth; the outermost container is an object."""
    value = innermost
    for container in reversed(shape):
        inner = delimited(0x0A, delimited(0x0A, b"a") + delimited(0x12, value)) if container == "o" else None
        value = delimited(0x2A, inner) if inner is not None else delimited(0x32, delimited(0x0A, value))
    return struct_of(value)


def struct_of(value: bytes) -> bytes:
    """Return the struct_value of a serialised Value."""
    position = 1
    while value[position] > 127:
        position += 1
    return value[position + 1 :]


def example() -> struct_pb2.Struct:
    message = struct_pb2.Struct()
    message.update({"a": [1, {"b": "c"}], "d": None, "e": True, "f": -0.5})
    return message
