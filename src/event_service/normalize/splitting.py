"""Split a payload of several events, within the limits of one delivery."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from event_service.model.event import EventDraft
from event_service.normalize.result import MOST_EVENTS, MOST_FIELDS, Json, Parsed, ParseError, object_of


def every_member(payload: Json, has_format: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether an object, or every member of a list that has any, is an object of a format.

    A list of several formats is none of one of them: each member is then read by its own, in whatever order they are.
    """
    members = payload if isinstance(payload, list) else [payload]
    return bool(members) and all(isinstance(member, dict) and has_format(member) for member in members)


def single(raw_data: Mapping[str, Any], outcome: EventDraft | str) -> Parsed:
    """The result for a payload that is one event, or, given a text, the reason why it is none."""
    if isinstance(outcome, str):
        return Parsed(ignored=[outcome])
    outcome.raw_data = raw_data
    return Parsed(events=[outcome])


def too_much(path: str, problem: str) -> ParseError:
    """The refusal of what would become more events, or larger ones, than one delivery may."""
    return ParseError.at(path, f"{problem}; send it in parts", "too-much")


def check_split(count: int, fields: int, path: str) -> None:
    """Refuses to split a list before the pains are taken.

    Args:
        count: its members.
        fields: of the objects around each of them, which all events repeat.
        path: of the list.

    Raises:
        ParseError: over MOST_EVENTS or MOST_FIELDS.
    """
    if count > MOST_EVENTS:
        raise too_much(path, f"holds {count} members, and one delivery makes {MOST_EVENTS} events at most")
    if count * fields > MOST_FIELDS:
        raise too_much(path, f"holds {count} members, and each event would repeat the {fields} fields around them")


def check_members(members: Sequence[Json]) -> None:
    """Refuses a list of payloads that is not worth looking at one by one.

    Raises:
        ParseError: it is too long, or nothing in it is an object.
    """
    check_split(len(members), 1, "")
    if members and not any(isinstance(member, dict) for member in members):
        raise ParseError.at("", "must be a list of JSON objects")


def split(payload: Mapping[str, Any], name: str, members: Sequence[Json]) -> Sequence[Mapping[str, Any]]:
    """The payload once for each of the members it has under `name`, with only that one left in it.

    Raises:
        ParseError: there is too much of it.
    """
    if len(members) == 1:
        return [payload]
    check_split(len(members), len(payload), name)
    return [{**payload, name: [member]} for member in members]


def per_item(payload: dict[str, Any], name: str, read: Callable[[dict[str, Any], str], EventDraft | str]) -> Parsed:
    """The result for a payload that holds a list of events under `name`.

    Args:
        read: one member and its path to an event, or to the reason why it is none; may raise ParseError.

    Returns:
        Each event and bad item with the payload as its raw_data in which only that member is left.

    Raises:
        ParseError: there is no such list, or it is too much for one delivery.
    """
    members = payload.get(name)
    if not isinstance(members, list):
        raise ParseError.at(name, "must be a list")
    parsed = Parsed()
    for index, (member, raw_data) in enumerate(zip(members, split(payload, name, members), strict=True)):
        path = f"{name}[{index}]"
        parsed.add(raw_data, lambda member, path: read(object_of(member, path), path), member, path)
    return parsed
