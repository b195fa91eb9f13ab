"""Split a payload of several events, within the limits of one delivery."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from event_service.model.event import EventDraft
from event_service.normalize.result import MOST_EVENTS, MOST_FIELDS, Json, Parsed, ParseError, object_of


def every_member(payload: Json, has_format: Callable[[dict[str, Any]], bool]) -> bool:
    """Return True if the object, or every member of a non-empty list, has the format.

    A list of several formats has no format as a whole, in any order; each member is then parsed by its own.
    """
    members = payload if isinstance(payload, list) else [payload]
    return bool(members) and all(isinstance(member, dict) and has_format(member) for member in members)


def single(raw_data: Mapping[str, Any], outcome: EventDraft | str) -> Parsed:
    """Return the result for one event, or for the reason to ignore it."""
    if isinstance(outcome, str):
        return Parsed(ignored=[outcome])
    outcome.raw_data = raw_data
    return Parsed(events=[outcome])


def too_much(path: str, problem: str) -> ParseError:
    """Return the error for a payload over the limits of one delivery."""
    return ParseError.at(path, f"{problem}; send it in parts", "too-much")


def check_split(count: int, fields: int, path: str) -> None:
    """Check the limits before a list is split.

    Args:
        count: members of the list.
        fields: of the enclosing objects, which every event repeats.
        path: of the list.

    Raises:
        ParseError: over MOST_EVENTS or MOST_FIELDS.
    """
    if count > MOST_EVENTS:
        raise too_much(path, f"has {count} members; the limit of one delivery is {MOST_EVENTS} events")
    if count * fields > MOST_FIELDS:
        raise too_much(path, f"has {count} members, and each event would repeat the {fields} fields around them")


def check_members(members: Sequence[Json]) -> None:
    """Check a list of payloads before it is parsed member by member.

    Raises:
        ParseError: too long, or without any object.
    """
    check_split(len(members), 1, "")
    if members and not any(isinstance(member, dict) for member in members):
        raise ParseError.at("", "must be a list of JSON objects")


def split(payload: Mapping[str, Any], name: str, members: Sequence[Json]) -> Sequence[Mapping[str, Any]]:
    """Return the payload once per member of the list `name`, with only that member in it.

    Raises:
        ParseError: over MOST_EVENTS or MOST_FIELDS.
    """
    if len(members) == 1:  # nothing to copy
        return [payload]
    check_split(len(members), len(payload), name)
    return [{**payload, name: [member]} for member in members]


def per_item(payload: dict[str, Any], name: str, read: Callable[[dict[str, Any], str], EventDraft | str]) -> Parsed:
    """Return one event per member of the list `name`.

    Args:
        read: called with a member and its path; returns an event or the reason to ignore it; may raise ParseError.

    Returns:
        Events and bad items, each with only its own member in raw_data.

    Raises:
        ParseError: no such list, or over the limits of one delivery.
    """
    members = payload.get(name)
    if not isinstance(members, list):
        raise ParseError.at(name, "must be a list")
    parsed = Parsed()
    for index, (member, raw_data) in enumerate(zip(members, split(payload, name, members), strict=True)):
        path = f"{name}[{index}]"
        parsed.add(raw_data, lambda member, path: read(object_of(member, path), path), member, path)
    return parsed
