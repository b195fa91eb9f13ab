"""The two calls that read Cloud Eye events back, as queries of the Event API.

Source: "Querying Event Monitoring Data" and "Querying Details of an Event" of the Cloud Eye API reference. Where the
documents differ: `start` is a record offset; without a usable `from` and `to`, the last day is shown.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.http.cloud_eye.errors import BAD_PARAMETER, CloudEyeCode, CloudEyeError
from event_service.http.cloud_eye.events import CUSTOM_EVENT, CUSTOM_SUB_EVENT, EVENT_ID, milliseconds_of, moment_of
from event_service.model.scope import Scope
from event_service.wire.struct_decode import struct_to_dict
from event_service.wire.timestamps import format_timestamp

BAD_PAGING = CloudEyeCode(400, "ces.0006", "The paging address is incorrect.")

MAX_LIMIT = 100
DEFAULT_WINDOW = timedelta(hours=24)
FUTURE = timedelta(minutes=10)

_EVENT_TYPES = (CUSTOM_EVENT, "EVENT.SYS")
_SUB_EVENT_TYPES = (CUSTOM_SUB_EVENT, "SUB_EVENT.OPS", "SUB_EVENT.PLAN")
_DETAIL_FIELDS = (
    "content",
    "group_id",
    "resource_id",
    "resource_name",
    "event_state",
    "event_level",
    "event_user",
    "event_type",
    "sub_event_type",
    "dimensions",
)


class Page(Protocol):
    """What is needed of `store/event_reader.py`: EventInfo bytes, and how many match in all."""

    @property
    def rows(self) -> Sequence[bytes]: ...
    @property
    def total_count(self) -> int: ...


class Events(Protocol):
    """What is needed of `events/manager.py` to read."""

    async def list(self, scope: Scope, query: Mapping[str, Any], equals: Mapping[str, str]) -> Page: ...
    async def stat(self, scope: Scope, query: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """The query parameters both calls share.

    Attributes:
        equals: additional_info name -> value that must be equal.
        start, limit: offset of the first record, and how many.
        nothing: asks for events nobody can have reported here (EVENT.SYS).
    """

    equals: Mapping[str, str]
    since: datetime
    until: datetime
    start: int
    limit: int
    nothing: bool


def read_selection(query: bytes, filters: Sequence[str], now: datetime) -> Selection:
    """Reads a query string.

    Args:
        query: as on the wire; `+` is a plus sign.
        filters: which parameters compare a field of the event.
        now: the server's time, timezone-aware.

    Raises:
        CloudEyeError: 400, a parameter cannot be what it says.
    """
    given = _parameters(query)
    event_type = given.get("event_type") or CUSTOM_EVENT
    if event_type not in _EVENT_TYPES:
        raise CloudEyeError(BAD_PARAMETER, f"event_type must be {' or '.join(_EVENT_TYPES)}")
    sub_event_type = given.get("sub_event_type") or CUSTOM_SUB_EVENT
    if sub_event_type not in _SUB_EVENT_TYPES:
        raise CloudEyeError(BAD_PARAMETER, f"sub_event_type must be {' or '.join(_SUB_EVENT_TYPES)}")
    until = _moment(given.get("to"))
    since = _moment(given.get("from"))
    if until is None:
        until = now + FUTURE
    if since is None:
        since = (until if given.get("to") else now) - DEFAULT_WINDOW
    if since >= until:
        raise CloudEyeError(BAD_PARAMETER, "from must be earlier than to")
    return Selection(
        equals={name: given[name] for name in filters if given.get(name)},
        since=since,
        until=until,
        start=_number(given, "start", 0, 0, 2**31 - 1),
        limit=_number(given, "limit", MAX_LIMIT, 1, MAX_LIMIT),
        nothing=event_type != CUSTOM_EVENT or sub_event_type != CUSTOM_SUB_EVENT,
    )


async def list_events(events: Events, scope: Scope, project_id: str, selection: Selection) -> dict[str, Any]:
    """One entry for each event name, the one that occurred last first."""
    if selection.nothing:
        return {"events": [], "meta_data": {"total": 0}}
    reply = await events.stat(
        scope,
        {
            "filter": _filters(project_id, selection),
            "aggregate": [
                {"sort": [{"key": "occurred_at", "desc": False}]},
                {
                    "group": {
                        "keys": [{"key": "additional_info.event_name", "name": "event_name"}],
                        "fields": [
                            {"name": "event_count", "operator": "count"},
                            {"name": "occurred_at", "key": "occurred_at", "operator": "max"},
                            {"name": "event_source", "key": "additional_info.event_source", "operator": "last"},
                        ],
                    }
                },
            ],
        },
    )
    rows = sorted(reply["results"], key=lambda row: (row["occurred_at"], row["event_name"]), reverse=True)
    return {
        "events": [
            {
                "event_name": row["event_name"],
                "event_type": CUSTOM_EVENT,
                "sub_event_type": CUSTOM_SUB_EVENT,
                "event_count": int(row["event_count"]),
                "latest_occur_time": _milliseconds(row["occurred_at"]),
                "latest_event_source": row["event_source"],
            }
            for row in rows[selection.start : selection.start + selection.limit]
        ],
        "meta_data": {"total": len(rows)},
    }


async def list_event_detail(
    events: Events, scope: Scope, project_id: str, event_name: str, selection: Selection
) -> dict[str, Any]:
    """The events of one name, newest first, and the users and sources of all of them."""
    answer: dict[str, Any] = {
        "event_name": event_name,
        "event_type": CUSTOM_EVENT,
        "sub_event_type": CUSTOM_SUB_EVENT,
        "event_users": [],
        "event_sources": [],
        "event_info": [],
        "meta_data": {"total": 0},
    }
    if selection.nothing:
        return answer
    filters = _filters(project_id, selection)
    filters.append({"key": "additional_info.event_name", "value": event_name, "operator": "eq"})
    page, users, sources = await asyncio.gather(
        events.list(
            scope,
            {
                "filter": filters,
                "sort": [{"key": "occurred_at", "desc": True}],
                "page": {"start": selection.start + 1, "limit": selection.limit},
            },
            {},
        ),
        events.stat(scope, {"filter": filters, "distinct": "additional_info.event_user"}),
        events.stat(scope, {"filter": filters, "distinct": "additional_info.event_source"}),
    )
    answer["event_users"] = users["results"]
    answer["event_sources"] = sources["results"]
    answer["event_info"] = [_event_info(event_pb2.EventInfo.FromString(row)) for row in page.rows]
    answer["meta_data"]["total"] = page.total_count
    return answer


async def promised_ids(events: Events, scope: Scope, event_ids: Sequence[str]) -> dict[str, str]:
    """The Cloud Eye ids that stored events were answered with, by event_id."""
    page = await events.list(
        scope,
        {
            "filter": [{"key": "event_id", "value": list(event_ids), "operator": "in"}],
            "only": ["event_id", "additional_info"],
            "page": {"start": 1, "limit": len(event_ids)},
        },
        {},
    )
    stored = [event_pb2.EventInfo.FromString(row) for row in page.rows]
    return {event.event_id: event.additional_info.fields[EVENT_ID].string_value for event in stored}


def _filters(project_id: str, selection: Selection) -> list[dict[str, Any]]:
    filters: list[dict[str, Any]] = [
        {"key": "provider", "value": "huaweicloud", "operator": "eq"},
        {"key": "account", "value": project_id, "operator": "eq"},
        {"key": "occurred_at", "value": format_timestamp(selection.since), "operator": "gte"},
        {"key": "occurred_at", "value": format_timestamp(selection.until), "operator": "lte"},
        {"key": f"additional_info.{EVENT_ID}", "value": True, "operator": "exists"},
    ]
    filters += [
        {"key": f"additional_info.{name}", "value": value, "operator": "eq"} for name, value in selection.equals.items()
    ]
    return filters


def _event_info(event: event_pb2.EventInfo) -> dict[str, Any]:
    item = struct_to_dict(event.raw_data)
    info = struct_to_dict(event.additional_info)
    detail = item.get("detail") or {}
    kept = {name: detail[name] for name in _DETAIL_FIELDS if detail.get(name) is not None}
    return {
        "event_id": info.get(EVENT_ID, ""),
        "event_name": info.get("event_name", ""),
        "event_source": info.get("event_source", ""),
        "time": _milliseconds(event.occurred_at),
        "detail": {"event_type": CUSTOM_EVENT, "sub_event_type": CUSTOM_SUB_EVENT, **kept},
    }


def _parameters(query: bytes) -> dict[str, str]:
    """The parameters of a query string, the first of each name."""
    given: dict[str, str] = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        text = unquote_to_bytes(value).decode("utf-8", "replace").strip()
        given.setdefault(unquote_to_bytes(name).decode("utf-8", "replace"), text)
    return given


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and least <= int(text) <= most):
        raise CloudEyeError(BAD_PAGING, f"{name} must be a number from {least} to {most}")
    return int(text)


def _moment(text: str | None) -> datetime | None:
    """Milliseconds since 1970; None where there are none, or no sane ones."""
    if text and text.isascii() and text.isdecimal() and len(text) <= 14:
        return moment_of(int(text))
    return None


def _milliseconds(timestamp: str) -> int:
    return milliseconds_of(datetime.fromisoformat(timestamp))
