"""Conversion of requests to plain values under their proto names, the input of `query/`.

Presence follows protobuf: a scalar at its default is absent, but a member of a oneof is present once set, even as
`k: ""` or `limit: 0`. Struct, ListValue and Value become JSON values; a Value without a kind becomes None.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from event_service.wire.struct_decode import list_to_python, struct_to_dict, value_to_python

_QUERY_LEVEL = 0  # a query is not stored: protobuf's own parsing limits its nesting

_Read = Callable[[Any, str], Any]


def message_to_dict(message: Message, path: str) -> dict[str, Any]:
    """Return the fields that are set, by proto name.

    Args:
        path: prefix of field paths in errors, such as `query`; "" for the request itself.

    Raises:
        InvalidArgument: a number is not finite; names its path (`query.filter[0].v`).
    """
    readers = _readers(message.DESCRIPTOR)
    result: dict[str, Any] = {}
    for field, value in message.ListFields():
        name, repeated, read = readers[field.number]
        if read is None:
            result[name] = list(value) if repeated else value
            continue
        field_path = f"{path}.{name}" if path else name
        if repeated:
            result[name] = [read(item, f"{field_path}[{index}]") for index, item in enumerate(value)]
        else:
            result[name] = read(value, field_path)
    return result


@lru_cache(maxsize=64)
def _readers(descriptor: Descriptor) -> dict[int, tuple[str, bool, _Read | None]]:
    return {field.number: (field.name, field.is_repeated, _reader(field)) for field in descriptor.fields}


def _reader(field: FieldDescriptor) -> _Read | None:
    """Return the reader of a message field; None for scalars, which need no conversion."""
    if field.message_type is None:
        return None
    name: str = field.message_type.full_name
    reader: _Read = _DYNAMIC.get(name, message_to_dict)
    return reader


_DYNAMIC: dict[str, _Read] = {
    "google.protobuf.Struct": lambda message, path: struct_to_dict(message, path=path, level=_QUERY_LEVEL),
    "google.protobuf.ListValue": lambda message, path: list_to_python(message, path=path, level=_QUERY_LEVEL),
    "google.protobuf.Value": lambda message, path: value_to_python(message, path=path, level=_QUERY_LEVEL),
}
