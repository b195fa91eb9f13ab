"""Converts stored values to JSON values, which a reply's Struct can hold."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bson import Decimal128, ObjectId

from event_service.store.documents import unescape_key
from event_service.wire.timestamps import format_timestamp


def plain(value: Any) -> Any:
    """Return a stored value as JSON: dates as `YYYY-MM-DDTHH:MM:SS.mmmZ`, ObjectIds as hex, keys unescaped.

    Infinity and NaN, such as a sum above the range of a double, become null.
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
    """Return the values sorted if all are comparable, else unchanged."""
    try:
        return sorted(values)
    except TypeError:
        return values
