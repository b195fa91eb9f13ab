"""What a payload is: the table of formats, tried in its order, and the names a webhook may fix one by.

A format is one module with two pure functions, `recognise(payload, headers)` and
`parse(payload, headers, options, received_at)`, and one row here.

Source: the order of detection is that of docs/collectors.md.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from event_service.normalize import native
from event_service.normalize.result import (
    BadItem,
    Fault,
    Headers,
    Json,
    Options,
    Parsed,
    Parser,
    Recogniser,
    Subscription,
    Unreadable,
    raw_object,
)
from event_service.normalize.unreadable import error_event

__all__ = [
    "AUTO",
    "BadItem",
    "Fault",
    "Parsed",
    "Subscription",
    "canonical_name",
    "endpoint_of",
    "error_event",
    "known_names",
    "parse",
]

AUTO = "auto"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Format:
    """One row of the table."""

    name: str
    recognise: Recogniser
    parse: Parser


_FORMATS = (Format("native", native.recognise, native.parse),)

_BY_NAME: dict[str, tuple[Format, ...]] = {AUTO: _FORMATS, **{row.name: (row,) for row in _FORMATS}}

# The ids of upstream's plugins whose format is built in here.
_ALIASES = {
    "": AUTO,
    "plugin-api-direct-mon-webhook": "native",
}


def known_names() -> list[str]:
    """The names a webhook's plugin_id may have without a remote plugin behind it, upstream's ids left out."""
    return sorted(_BY_NAME)


def canonical_name(plugin_id: str) -> str | None:
    """The built-in name behind a plugin_id or upstream's id of it; None for what only a remote plugin can parse."""
    name = _ALIASES.get(plugin_id, plugin_id)
    return name if name in _BY_NAME else None


def endpoint_of(plugin_id: str, options: Options, endpoints: Mapping[str, str]) -> str:
    """Where the webhook's remote plugin is (`grpc://host:port`), "" for a built-in parser.

    Args:
        options: of the webhook; its `endpoint` comes first.
        endpoints: the settings' table, plugin_id -> endpoint.
    """
    endpoint = options.get("endpoint")
    return endpoint if isinstance(endpoint, str) and endpoint else endpoints.get(plugin_id, "")


def parse(plugin_id: str, payload: Json, headers: Headers, options: Options, received_at: datetime) -> Parsed:
    """Reads a payload with a built-in parser; remote plugins are plugin.py's.

    Args:
        plugin_id: a name of the table, `auto`, or one of upstream's plugin ids.
        payload: any JSON value; numbers may be doubles.
        headers: of the HTTP request or the rpc's metadata, names in lower case; {} where there are none.
        options: the webhook's.
        received_at: timezone-aware UTC.

    Returns:
        Never an exception: what cannot be read is in `bad_items`, to be stored as `error_event(...)`.
    """
    name = canonical_name(plugin_id)
    if name is None:
        fault = Fault("plugin_info.plugin_id", f"no parser is known by the name {plugin_id!r}", "unknown")
        return Parsed(bad_items=[BadItem([fault], raw_object(payload))])
    try:
        row = _select(name, payload, headers)
        parsed = row.parse(payload, headers, options, received_at)
    except Unreadable as refusal:
        return Parsed(bad_items=[BadItem(refusal.faults, raw_object(payload))], source=name)
    except Exception:
        # Parsers refuse by Unreadable only. Should one fail all the same, the payload must not be lost with it.
        _log.exception("parser %s failed", name)
        fault = Fault("", f"the parser {name} failed; this is a fault of the service", "internal")
        return Parsed(bad_items=[BadItem([fault], raw_object(payload))], source=name)
    parsed.source = parsed.source or row.name
    return parsed


def _select(name: str, payload: Json, headers: Headers) -> Format:
    formats = _BY_NAME[name]
    row = formats[0] if len(formats) == 1 else _recognised(formats, payload, headers)
    if row is None:
        raise Unreadable.at("", f"not a payload of {name}", "unrecognised")
    return row


def _recognised(formats: tuple[Format, ...], payload: Json, headers: Headers) -> Format | None:
    for row in formats:
        if row.recognise(payload, headers):
            return row
    return None


def recognised_name(payload: Json, headers: Mapping[str, Any]) -> str:
    """The name of the format that automatic detection settles on, "" if none does."""
    row = _recognised(_FORMATS, payload, headers)
    return row.name if row else ""
