"""Conversion of requests to plain values under their proto names, the input of `query/`.

Presence follows protobuf: a scalar at its default is absent, but a member of a oneof is present once set, even as
`k: ""` or `limit: 0`. Struct, ListValue and Value become JSON values; a Value without a kind becomes None.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from google.protobuf import struct_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from event_service.concurrency.thread_pool import RunInThread
from event_service.errors import QueryError
from event_service.query.size import LARGE_QUERY_BYTES, MAX_QUERY_VALUES
from event_service.rpc.methods import decode
from event_service.wire.struct_decode import list_to_python, struct_to_dict, value_to_python

_QUERY_LEVEL = 0  # a query is not stored: protobuf's own parsing limits its nesting

_Read = Callable[[Any, str], Any]


async def decode_query(kind: type[Message], request: bytes, run_in_thread: RunInThread | None) -> dict[str, Any]:
    """Return the fields of a request with a query, as `message_to_dict`.

    Args:
        run_in_thread: decodes requests of more than LARGE_QUERY_BYTES; None = in the event loop.

    Raises:
        QueryError: the query has more than MAX_QUERY_VALUES; names the field.
        InvalidArgument: the bytes are not a message of this kind, or a number is not finite.
    """
    if len(request) <= LARGE_QUERY_BYTES:
        return message_to_dict(decode(kind, request), "")
    if run_in_thread is None:
        return _decode_large(kind, request)
    return await run_in_thread(_decode_large, kind, request)


def _decode_large(kind: type[Message], request: bytes) -> dict[str, Any]:
    message = decode(kind, request)
    _count_values(message, "", 0)
    return message_to_dict(message, "")


def _count_values(message: Message, path: str, counted: int) -> int:
    """Return `counted` and the number of values in a message.

    Raises:
        QueryError: more than MAX_QUERY_VALUES; names the field that holds the first of them.
    """
    if isinstance(message, struct_pb2.Value):
        kind = message.WhichOneof("kind")
        if kind not in ("list_value", "struct_value"):
            return counted
        message = getattr(message, kind)
    # The path ends here: a caller's key may have a megabyte, and would be copied for each member below it.
    if isinstance(message, struct_pb2.Struct):
        counted = _checked(counted + len(message.fields), path)
        for key in message.fields:
            counted = _count_values(message.fields[key], path, counted)
        return counted
    if isinstance(message, struct_pb2.ListValue):
        counted = _checked(counted + len(message.values), path)
        for member in message.values:
            counted = _count_values(member, path, counted)
        return counted
    for field, value in message.ListFields():
        field_path = f"{path}.{field.name}" if path else field.name
        if field.is_repeated:
            counted = _count_members(value, field_path, counted)
        elif field.message_type is not None:
            counted = _count_values(value, field_path, counted)
    return counted


def _count_members(values: Any, path: str, counted: int) -> int:
    counted = _checked(counted + len(values), path)
    if values and isinstance(values[0], Message):
        for index, value in enumerate(values):
            counted = _count_values(value, f"{path}[{index}]", counted)
    return counted


def _checked(counted: int, path: str) -> int:
    if counted > MAX_QUERY_VALUES:
        raise QueryError.at(path, f"more than {MAX_QUERY_VALUES} values in the query")
    return counted


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
