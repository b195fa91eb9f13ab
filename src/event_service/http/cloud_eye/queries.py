"""The two calls that read Cloud Eye events, as queries of the Event API.

Source: "Querying Event Monitoring Data" and "Querying Details of an Event" of the Cloud Eye API reference. Where the
documents differ: `start` is a record offset; without a valid `from` and `to`, the last day is returned.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

from event_service._gen.spaceone.api.monitoring.v1 import event_pb2
from event_service.events.manager import EventManager
from event_service.http.cloud_eye.errors import BAD_PARAMETER, CloudEyeCode, CloudEyeError
from event_service.http.cloud_eye.events import CUSTOM_EVENT, CUSTOM_SUB_EVENT, EVENT_ID, milliseconds_of, moment_of
from event_service.model.scope import Scope
from event_service.wire.struct_decode import struct_to_dict
from event_service.wire.timestamps import format_timestamp

BAD_PAGING = CloudEyeCode(400, "ces.0006", "The paging address is incorrect.")

MAX_LIMIT = 100
DEFAULT_WINDOW = timedelta(hours=24)
FUTURE = timedelta(minutes=10)  # as far ahead as a reported event may be

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


@dataclass(frozen=True, slots=True)
class QueryParameters:
    """The query parameters that both calls share.

    Attributes:
        equals: additional_info name -> value that must be equal.
        since, until: range of occurred_at, timezone-aware, both ends included.
        start: offset of the first record.
        limit: most records to return.
        is_empty: no event can match, e.g. for EVENT.SYS, which cannot be reported.
    """

    equals: Mapping[str, str]
    since: datetime
    until: datetime
    start: int
    limit: int
    is_empty: bool


def parse_query_parameters(query: bytes, filters: Sequence[str], now: datetime) -> QueryParameters:
    """Parse a query string.

    Args:
        query: as received; `+` is a plus sign.
        filters: names of the parameters that filter by a field of the event.
        now: the server's time, timezone-aware.

    Raises:
        CloudEyeError: 400, a parameter is invalid.
    """
    parameters = _parameters(query)
    event_type = parameters.get("event_type") or CUSTOM_EVENT
    if event_type not in _EVENT_TYPES:
        raise CloudEyeError(BAD_PARAMETER, f"event_type must be {' or '.join(_EVENT_TYPES)}")
    sub_event_type = parameters.get("sub_event_type") or CUSTOM_SUB_EVENT
    if sub_event_type not in _SUB_EVENT_TYPES:
        raise CloudEyeError(BAD_PARAMETER, f"sub_event_type must be {' or '.join(_SUB_EVENT_TYPES)}")
    until = _moment(parameters.get("to"))
    since = _moment(parameters.get("from"))
    if until is None:
        until = now + FUTURE
    if since is None:
        since = (until if parameters.get("to") else now) - DEFAULT_WINDOW
    if since >= until:
        raise CloudEyeError(BAD_PARAMETER, "from must be earlier than to")
    return QueryParameters(
        equals={name: parameters[name] for name in filters if parameters.get(name)},
        since=since,
        until=until,
        start=_number(parameters, "start", 0, 0, 2**31 - 1),
        limit=_number(parameters, "limit", MAX_LIMIT, 1, MAX_LIMIT),
        is_empty=event_type != CUSTOM_EVENT or sub_event_type != CUSTOM_SUB_EVENT,
    )


async def list_events(
    events: EventManager, scope: Scope, project_id: str, parameters: QueryParameters
) -> dict[str, Any]:
    """Return one entry for each event name, the latest occurrence first."""
    if parameters.is_empty:
        return {"events": [], "meta_data": {"total": 0}}
    reply = await events.stat(
        scope,
        {
            "filter": _filters(project_id, parameters),
            "aggregate": [
                # Sorted, so that `last` is the source of the latest event.
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
            for row in rows[parameters.start : parameters.start + parameters.limit]
        ],
        "meta_data": {"total": len(rows)},
    }


async def list_event_detail(
    events: EventManager, scope: Scope, project_id: str, event_name: str, parameters: QueryParameters
) -> dict[str, Any]:
    """Return the events of one name, newest first, with the users and sources of all of them."""
    reply: dict[str, Any] = {
        "event_name": event_name,
        "event_type": CUSTOM_EVENT,
        "sub_event_type": CUSTOM_SUB_EVENT,
        "event_users": [],
        "event_sources": [],
        "event_info": [],
        "meta_data": {"total": 0},
    }
    if parameters.is_empty:
        return reply
    filters = _filters(project_id, parameters)
    filters.append({"key": "additional_info.event_name", "value": event_name, "operator": "eq"})
    page, users, sources = await asyncio.gather(
        events.list(
            scope,
            {
                "filter": filters,
                "sort": [{"key": "occurred_at", "desc": True}],
                "page": {"start": parameters.start + 1, "limit": parameters.limit},
            },
            {},
        ),
        events.stat(scope, {"filter": filters, "distinct": "additional_info.event_user"}),
        events.stat(scope, {"filter": filters, "distinct": "additional_info.event_source"}),
    )
    reply["event_users"] = users["results"]
    reply["event_sources"] = sources["results"]
    reply["event_info"] = [_event_info(event_pb2.EventInfo.FromString(row)) for row in page.rows]
    reply["meta_data"]["total"] = page.total_count
    return reply


async def stored_ids(events: EventManager, scope: Scope, event_ids: Sequence[str]) -> dict[str, str]:
    """Return the Cloud Eye ids of stored events by event_id."""
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


def _filters(project_id: str, parameters: QueryParameters) -> list[dict[str, Any]]:
    filters: list[dict[str, Any]] = [
        {"key": "provider", "value": "huaweicloud", "operator": "eq"},
        {"key": "account", "value": project_id, "operator": "eq"},
        {"key": "occurred_at", "value": format_timestamp(parameters.since), "operator": "gte"},
        {"key": "occurred_at", "value": format_timestamp(parameters.until), "operator": "lte"},
        {"key": f"additional_info.{EVENT_ID}", "value": True, "operator": "exists"},
    ]
    filters += [
        {"key": f"additional_info.{name}", "value": value, "operator": "eq"}
        for name, value in parameters.equals.items()
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
    """Return the parameters of a query string; the first value of each name counts."""
    parameters: dict[str, str] = {}
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        text = unquote_to_bytes(value).decode("utf-8", "replace").strip()
        parameters.setdefault(unquote_to_bytes(name).decode("utf-8", "replace"), text)
    return parameters


def _number(parameters: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = parameters.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and least <= int(text) <= most):
        raise CloudEyeError(BAD_PAGING, f"{name} must be a number from {least} to {most}")
    return int(text)


def _moment(text: str | None) -> datetime | None:
    """Convert milliseconds since 1970; return None if missing or invalid."""
    if text and text.isascii() and text.isdecimal() and len(text) <= 14:
        return moment_of(int(text))
    return None


def _milliseconds(timestamp: str) -> int:
    return milliseconds_of(datetime.fromisoformat(timestamp))
