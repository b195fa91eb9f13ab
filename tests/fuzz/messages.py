"""Messages of any type with empty, invalid and sometimes valid fields."""

from typing import Any

from google.protobuf import json_format, struct_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from tests.unit.query.hostile import NAMES, OPERATORS, TEXTS, VALUES

_DEEPEST = 5

_INTEGERS = st.sampled_from([0, 1, -1, 10, 999, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1])
_DOUBLES = st.floats()
_BYTES = st.binary(max_size=20)


def messages(descriptor: Descriptor, known: list[str]) -> st.SearchStrategy[Message]:
    """Return a strategy of messages of a type.

    Args:
        known: texts with a meaning to the service, such as existing ids.
    """
    texts = st.one_of(
        st.sampled_from(known), st.sampled_from([*TEXTS, *NAMES, *OPERATORS]).filter(_is_unicode), st.text(max_size=10)
    )
    return st.composite(lambda draw: _message(draw, descriptor, texts, 0))()


def _message(draw: st.DrawFn, descriptor: Descriptor, texts: st.SearchStrategy[str], depth: int) -> Message:
    message = GetMessageClass(descriptor)()
    if descriptor.full_name.startswith("google.protobuf."):
        _fill_well_known(draw, message)
        return message
    for field in descriptor.fields:
        is_message = field.type == FieldDescriptor.TYPE_MESSAGE
        if (is_message and depth >= _DEEPEST) or draw(st.integers(0, 2)) == 0:
            continue
        if field.is_repeated:
            if is_message and field.message_type.GetOptions().map_entry:
                continue
            for _ in range(draw(st.integers(0, 3))):
                if is_message:
                    getattr(message, field.name).add().CopyFrom(_message(draw, field.message_type, texts, depth + 1))
                else:
                    _append(message, field, _scalar(draw, field, texts))
        elif is_message:
            getattr(message, field.name).CopyFrom(_message(draw, field.message_type, texts, depth + 1))
        else:
            _set(message, field, _scalar(draw, field, texts))
    return message


def _scalar(draw: st.DrawFn, field: FieldDescriptor, texts: st.SearchStrategy[str]) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return draw(texts)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return draw(_BYTES)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return draw(st.booleans())
    if field.type in {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT}:
        return draw(_DOUBLES)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return draw(st.integers(-1, 12))
    return draw(_INTEGERS)


def _set(message: Message, field: FieldDescriptor, value: Any) -> None:
    try:
        setattr(message, field.name, value)
    except ValueError:  # does not fit into the field
        return


def _append(message: Message, field: FieldDescriptor, value: Any) -> None:
    try:
        getattr(message, field.name).append(value)
    except ValueError:
        return


def _fill_well_known(draw: st.DrawFn, message: Message) -> None:
    """Fill a Struct, Value or ListValue with hostile JSON, other types with numbers."""
    if isinstance(message, struct_pb2.Struct | struct_pb2.Value | struct_pb2.ListValue):
        value = draw(VALUES)
        if isinstance(message, struct_pb2.Struct) and not isinstance(value, dict):
            value = {"event_key": "k", "value": value}
        if isinstance(message, struct_pb2.ListValue) and not isinstance(value, list):
            value = [value]
        try:
            json_format.ParseDict(value, message)
        except (json_format.ParseError, ValueError, OverflowError):  # half a character, or a number without end
            message.Clear()
        return
    for field in message.DESCRIPTOR.fields:
        if field.type in {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_INT32}:
            _set(message, field, draw(_INTEGERS))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
