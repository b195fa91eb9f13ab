"""Encodes rows with selected fields as serialised EventInfo messages."""

import json
from collections.abc import Mapping
from typing import Any

from event_service.query.fields import EVENT_FIELDS, FieldKind, FieldPath
from event_service.store.documents import unescape_keys
from event_service.store.json_values import plain
from event_service.wire.event_info import encode_event_info
from event_service.wire.struct_encode import encode_stored_struct


class RowEncoder:
    """Encodes documents with selected fields.

    Args:
        only: the selected fields; all others stay unset. A selected dynamic field is set even if the document lacks it.
        unwound: the array of a $unwind; a row holds it with one element.
    """

    def __init__(self, only: tuple[FieldPath, ...], unwound: FieldPath | None = None) -> None:
        self._roots = {path.parts[0]: EVENT_FIELDS.kinds[path.parts[0]] for path in only}
        self._unwound = unwound.parts if unwound else ()
        if self._roots.get(next(iter(self._unwound), "")) in {FieldKind.TEXT, FieldKind.DATE}:
            self._unwound = ()  # $unwind leaves a value that is not an array

    def __call__(self, document: Mapping[str, Any]) -> bytes:
        """Return the serialised EventInfo of one document."""
        fields: dict[str, Any] = {}
        structs: dict[str, bytes] = {}
        for name, kind in self._roots.items():
            value = document.get(name)
            if self._unwound and self._unwound[0] == name:
                value = with_list(value, self._unwound[1:])
            if kind is FieldKind.DYNAMIC:
                structs[name] = encode_stored_struct(unescape_keys(value)) if isinstance(value, Mapping) else b""
            elif kind is FieldKind.TEXTS:
                fields[name] = [_text(member) for member in value] if isinstance(value, list) else []
            else:
                fields[name] = value if value is None or kind is FieldKind.DATE else _text(value)
        return encode_event_info(
            fields, raw_wire=structs.get("raw_data"), additional_wire=structs.get("additional_info")
        )


def with_list(value: Any, inner: tuple[str, ...]) -> Any:
    """Return the value with its member at path `inner` replaced by a list of that member."""
    if not inner:
        return [] if value is None else [value]
    if not isinstance(value, Mapping) or inner[0] not in value:
        return value
    return {**value, inner[0]: with_list(value[inner[0]], inner[1:])}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
