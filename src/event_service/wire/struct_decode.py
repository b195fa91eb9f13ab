"""Decode google.protobuf.Struct to Python values.

Reading protobuf's messages takes half the time of `json_format.MessageToDict`, and as long as a hand-written reader of
the wire bytes would. The library decides about unusual bytes. Keys come in no particular order.
"""

from math import copysign
from typing import Any

from google.protobuf import struct_pb2

from event_service.wire.errors import NOT_FINITE, RefusedValueError, TooDeepError
from event_service.wire.nesting import MAX_LEVEL, PAYLOAD_LEVEL

_MAX_EXACT = 1 << 53  # larger doubles skip whole numbers and stay floats


def struct_to_dict(message: struct_pb2.Struct, *, path: str = "data", level: int = PAYLOAD_LEVEL) -> dict[str, Any]:
    """Return a Struct message as a dict.

    Args:
        path: of the object in the request; the start of every field path in an error.
        level: message level at which it will be read, see nesting.py.

    Returns:
        dict, list, str, bool, None, and numbers: int where the double is whole and below 2^53, else float (-0.0 stays
        a float). A Value without a kind is None. Of equal keys the last wins.

    Raises:
        InvalidArgument: nested too deeply, NaN or infinite numbers.
    """
    try:
        return _read_object(message, level)
    except RefusedValueError as refused:
        raise refused.at(path) from None


def struct_wire(message: struct_pb2.Struct) -> bytes:
    """Return the message's bytes without unknown fields, which may be nested deeper than a reader follows."""
    message.DiscardUnknownFields()
    return message.SerializeToString()


def value_to_python(message: struct_pb2.Value, *, path: str, level: int = PAYLOAD_LEVEL) -> Any:
    """Return a Value message as a Python value; values and errors as in `struct_to_dict`."""
    try:
        return _read_value(message, level)
    except RefusedValueError as refused:
        raise refused.at(path) from None


def list_to_python(message: struct_pb2.ListValue, *, path: str, level: int = PAYLOAD_LEVEL) -> list[Any]:
    """Return a ListValue message as a list; values and errors as in `struct_to_dict`."""
    try:
        return _read_list(message, level)
    except RefusedValueError as refused:
        raise refused.at(path) from None


def _read_object(message: struct_pb2.Struct, level: int) -> dict[str, Any]:
    fields = message.fields
    if level > MAX_LEVEL - 2 and (fields or level > MAX_LEVEL):
        raise TooDeepError
    result: dict[str, Any] = {}
    for key in fields:  # look-ups are cheaper than items()
        value = fields[key]
        text = value.string_value  # most values are strings, and WhichOneof costs more
        if text:
            result[key] = text
            continue
        try:
            result[key] = _read_value(value, level + 2)
        except RefusedValueError as refused:
            refused.steps.append(key)
            raise
    return result


def _read_list(message: struct_pb2.ListValue, level: int) -> list[Any]:
    values = message.values
    if level > MAX_LEVEL - 1 and (values or level > MAX_LEVEL):
        raise TooDeepError
    result: list[Any] = []
    for value in values:
        try:
            result.append(_read_value(value, level + 1))
        except RefusedValueError as refused:
            refused.steps.append(len(result))
            raise
    return result


def _read_value(message: struct_pb2.Value, level: int) -> Any:  # noqa: PLR0911 - one return a kind
    kind = message.WhichOneof("kind")
    if kind == "string_value":
        return message.string_value
    if kind == "number_value":
        number = message.number_value
        if number - number != 0.0:  # NaN or infinite
            raise RefusedValueError(NOT_FINITE)
        if number.is_integer() and -_MAX_EXACT < number < _MAX_EXACT and (number or copysign(1.0, number) > 0):
            return int(number)
        return number
    if kind == "bool_value":
        return message.bool_value
    if kind == "struct_value":
        return _read_object(message.struct_value, level + 1)
    if kind == "list_value":
        return _read_list(message.list_value, level + 1)
    return None
