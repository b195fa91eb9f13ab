"""Events as documents of the `event` collection: upstream's fields and the encoded reply.

`wire` holds the serialised EventInfo, which get and list return as it is. The nested copies of raw_data and
additional_info serve filters. Documents of an upstream database have no `wire` and are encoded when they are read.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection

from event_service.model.condition import AlertReference
from event_service.model.event import Event
from event_service.store.object_ids import object_id_of
from event_service.wire.event_info import append_alert_id, encode_event, encode_event_info
from event_service.wire.struct_encode import encode_stored_struct

WIRE = "wire"
"""The field that holds the serialised EventInfo (bytes), alert_id included."""

EXPIRE_AT = "expire_at"
"""The field of the TTL index; missing if the event does not expire."""

TEXT_FIELDS = (
    "event_id", "event_key", "event_type", "title", "description", "severity", "rule", "image_url", "provider",
    "account", "domain_id", "workspace_id", "project_id", "alert_id", "webhook_id",
)  # fmt: skip
DATE_FIELDS = ("created_at", "occurred_at")


def event_document(
    event: Event, object_id: ObjectId, alert: AlertReference | None = None, wire: bytes | None = None
) -> dict[str, Any]:
    """Return the document of an event.

    Texts that the sender did not give are "", the API's default; a missing occurred_at and a missing alert_id are null.

    Args:
        object_id: the document's `_id`.
        alert: the event's alert; None for the one that `event.alert_id` names.
        wire: the serialised EventInfo without alert_id; None to encode it here.

    Raises:
        InvalidArgument: the event has a value that protobuf cannot hold.
    """
    draft = event.draft
    alert_id = alert.alert_id if alert else event.alert_id
    document: dict[str, Any] = {
        "_id": object_id,
        "event_id": event.event_id,
        "event_key": draft.event_key,
        "event_type": str(draft.event_type),
        "title": draft.title,
        "description": draft.description,
        "severity": str(draft.severity),
        "rule": draft.rule,
        "image_url": draft.image_url,
        "resources": draft.resources,
        "provider": draft.provider,
        "account": draft.account,
        "raw_data": escape_keys(draft.raw_data),
        "additional_info": escape_keys(draft.additional_info),
        "alert": object_id_of(alert.object_id) if alert and alert.object_id else None,
        "alert_id": alert_id or None,
        "webhook_id": event.webhook_id,
        "project_id": event.project_id,
        "workspace_id": event.workspace_id,
        "domain_id": event.domain_id,
        "created_at": event.created_at,
        "occurred_at": draft.occurred_at,
    }
    if event.expire_at is not None:
        document[EXPIRE_AT] = event.expire_at
    document[WIRE] = append_alert_id(wire if wire is not None else encode_event(event), alert_id)
    return document


def document_wire(document: Mapping[str, Any]) -> bytes:
    """Return the serialised EventInfo of a document: its `wire`, or encoded from its fields.

    Null and missing fields are unset, except that additional_info and raw_data are always set.
    """
    wire = document.get(WIRE)
    if wire is not None:
        return bytes(wire)
    fields: dict[str, Any] = {name: document.get(name) for name in DATE_FIELDS}
    for name in TEXT_FIELDS:
        value = document.get(name)
        fields[name] = value if value is None or isinstance(value, str) else str(value)
    resources = document.get("resources")
    fields["resources"] = [str(resource) for resource in resources] if isinstance(resources, list) else []
    return encode_event_info(
        fields,
        raw_wire=_stored_struct(document.get("raw_data")),
        additional_wire=_stored_struct(document.get("additional_info")),
    )


def read_wires(
    collection: Collection[dict[str, Any]], documents: Iterable[Mapping[str, Any]], max_time_ms: int
) -> list[tuple[Mapping[str, Any], bytes]]:
    """Return (document, `wire`) of each. Upstream documents, without it, are read again in full, unless deleted."""
    found = list(documents)
    whole: dict[Any, Mapping[str, Any]] = {}
    if without_wire := [document["_id"] for document in found if WIRE not in document]:
        upstream = collection.find({"_id": {"$in": without_wire}}, max_time_ms=max_time_ms)
        whole = {document["_id"]: document for document in upstream}
    complete = (document if WIRE in document else whole.get(document["_id"]) for document in found)
    return [(document, document_wire(document)) for document in complete if document is not None]


def _stored_struct(value: Any) -> bytes:
    return encode_stored_struct(value) if isinstance(value, Mapping) else b""


# --- keys that MongoDB cannot hold ---------------------------------------------------------------------------
#
# A leading `$` is an operator in a query and a DBRef to the driver ($ref, $id), NUL ends a key in BSON, and a path
# cannot name "" or a dot. Such keys are stored behind ESCAPE; all others keep their names, so that filters find them.

ESCAPE = "␛"
_ESCAPED = re.compile(f"{ESCAPE}(.)", re.DOTALL)
_ESCAPED_CHARACTERS = {"0": "\0", "1": "."}
_LARGEST_EXACT = 1 << 53  # numbers in a Struct are doubles; a larger integer would differ from its reply
_NEEDS_CHECK = frozenset({dict, list, tuple, int})
_REFUSED_STARTS = ("$", ESCAPE)


def escape_key(key: str) -> str:
    """Return the stored form of a payload's key."""
    if key and "\0" not in key and "." not in key and not key.startswith(_REFUSED_STARTS):
        return key
    return ESCAPE + key.replace(ESCAPE, ESCAPE * 2).replace("\0", f"{ESCAPE}0").replace(".", f"{ESCAPE}1")


def unescape_key(key: str) -> str:
    """Return the key that `escape_key` was given."""
    if not key.startswith(ESCAPE):
        return key
    return _ESCAPED.sub(lambda match: _ESCAPED_CHARACTERS.get(match[1], match[1]), key[1:])


def escape_keys(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload with escaped keys; the same object if nothing needs escaping, which is the rule.

    Integers that a double cannot hold exactly become doubles, as in replies.
    """
    if type(payload) is dict and _fits(payload):
        return payload
    stored: dict[str, Any] = _stored_object(payload)
    return stored


def unescape_keys(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload that `escape_keys` was given; the same object if nothing was escaped."""
    payload: dict[str, Any] = _renamed(stored, unescape_key)
    return payload


def _fits(value: dict[str, Any] | list[Any]) -> bool:
    # The fast path: a read-only check suffices for nearly every payload.
    members: Iterable[Any] = value
    if type(value) is dict:
        names = "\n".join(value)
        if "." in names or "$" in names or "\0" in names or ESCAPE in names or "" in value:
            return False
        members = value.values()
    for member in members:
        kind = type(member)
        if kind is str or kind is float or kind is bool or member is None:
            continue
        if kind is dict or kind is list:
            if not _fits(member):
                return False
        elif kind is not int or not -_LARGEST_EXACT <= member <= _LARGEST_EXACT:
            return False
    return True


def _stored_object(source: Mapping[str, Any]) -> Any:
    changed: dict[str, Any] | None = None
    for key, value in source.items():
        stored = _stored_value(value) if type(value) in _NEEDS_CHECK else value
        if stored is not value and changed is None:
            changed = dict(source)
        if changed is not None:
            changed[key] = stored
    result = source if changed is None else changed
    # Searching all keys joined is cheaper than searching each.
    names = "\n".join(result)
    if "." in names or "$" in names or "\0" in names or ESCAPE in names or "" in result:
        return _renamed_here(result, escape_key)
    return result


def _stored_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _stored_object(value)
    if isinstance(value, int):
        return value if -_LARGEST_EXACT <= value <= _LARGEST_EXACT else float(value)
    stored = [_stored_value(member) if type(member) in _NEEDS_CHECK else member for member in value]
    return stored if any(new is not old for new, old in zip(stored, value, strict=True)) else value


def _renamed_here(source: Mapping[str, Any], rename: Callable[[str], str]) -> Any:
    renamed = {rename(key): value for key, value in source.items()}
    return source if renamed.keys() == source.keys() else renamed


def _renamed(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        below = {key: _renamed(member, rename) for key, member in value.items()}
        changed = any(below[key] is not value[key] for key in below)
        return _renamed_here(below if changed else value, rename)
    if isinstance(value, list):
        members = [_renamed(member, rename) for member in value]
        return members if any(new is not old for new, old in zip(members, value, strict=True)) else value
    return value
