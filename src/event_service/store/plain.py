"""Values out of the database as JSON: what a reply's Struct can hold."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import Decimal128, ObjectId

from event_service.store.documents import unescape_key
from event_service.wire.timestamps import format_timestamp


def plain(value: Any) -> Any:
    """A stored value as JSON: dates as `YYYY-MM-DDTHH:MM:SS.mmmZ`, ids as text, keys as the payload had them.

    A number that JSON does not know (a sum beyond a double) is null.
    """
    shown: Any
    match value:
        case None | str() | bool() | int():
            shown = value
        case float():
            shown = value if math.isfinite(value) else None
        case Mapping():
            shown = {unescape_key(key): plain(member) for key, member in value.items()}
        case list() | tuple():
            shown = [plain(member) for member in value]
        case datetime():
            shown = format_timestamp(value)
        case Decimal128():
            shown = plain(float(value.to_decimal()))
        case ObjectId():
            shown = str(value)
        case _:
            shown = None
    return shown


def sorted_where_comparable(values: list[Any]) -> list[Any]:
    """The values in order if all of them can be compared with each other, else as they came."""
    try:
        return sorted(values)
    except TypeError:
        return values


def without_repetition(values: list[Any]) -> list[Any]:
    """Each value once, in the order they came. 1, 1.0 and true differ as they do in the database: 1 is 1.0."""
    seen: dict[Any, Any] = {}
    for value in values:
        seen.setdefault(_identity(value), value)
    return list(seen.values())


def members_at(document: Any, parts: tuple[str, ...]) -> list[Any]:
    """What `distinct` finds at a path of a document: lists on the way are walked through, one at the end is flattened.

    A missing field yields nothing, null yields null.
    """
    if not parts:
        return list(document) if isinstance(document, list) else [document]
    if isinstance(document, Mapping):
        return members_at(document[parts[0]], parts[1:]) if parts[0] in document else []
    if not isinstance(document, list):
        return []
    found = [value for member in document if isinstance(member, Mapping) for value in members_at(member, parts)]
    index = int(parts[0]) if parts[0].isascii() and parts[0].isdigit() and len(parts[0]) < 10 else len(document)
    if index < len(document):
        found += members_at(document[index], parts[1:])
    return found


def _identity(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ("object", tuple((key, _identity(member)) for key, member in value.items()))
    if isinstance(value, list):
        return ("list", tuple(_identity(member) for member in value))
    if isinstance(value, bool):
        return ("bool", value)
    return value
