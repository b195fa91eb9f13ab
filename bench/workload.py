"""Requests of the benchmark: the same serialised messages for ours and for upstream.

The shapes are those of ../shared/peer/load.py, so that figures can be compared with the ones written down there.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from event_service._gen.event_service.v1 import ingest_pb2
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2

SERVICE = "spaceone.api.monitoring.v1.Event"
RPCS = ("create", "get", "list10", "list100", "stat")


@dataclass(frozen=True, slots=True)
class Names:
    """Caller and objects of the requests.

    Attributes:
        event_ids: events that are there, for get.
        metadata: what every call carries, the token in it.
    """

    webhook_id: str
    access_key: str
    event_ids: tuple[str, ...]
    metadata: Mapping[str, str]


def payload(number: int, prefix: str = "load") -> dict[str, Any]:
    """A delivery of about 1 KB, unlike every other number's."""
    return {
        "event_key": f"{prefix}-{os.getpid()}-{number}",
        "event_type": "ALERT",
        "title": "load",
        "severity": "ERROR",
        "resource": {
            "resource_id": "server-1187737cc0d9",
            "resource_type": "inventory.Server",
            "name": "bastion",
        },
        "description": "SSH access " + "x" * 400,
        "additional_info": {"user": "u", "host": ["10.0.0.1"], "note": "y" * 200},
    }


_VARIETY = 30
_GROUP = {"keys": [{"k": "severity", "n": "severity"}], "fields": [{"n": "count", "o": "count"}]}


def method_of(rpc: str) -> str:
    """`/package.Service/method` of one of `RPCS`, of `list<limit>@<page>`, or of `batch<payloads>` (CreateBatch)."""
    if rpc.startswith("batch"):
        return "/event_service.v1.Ingest/CreateBatch"
    return f"/{SERVICE}/{rpc.rstrip('0123456789@*')}"


def read_messages(rpc: str, names: Names) -> list[Message]:
    """Return the requests of a reading rpc, to be sent in turns: one for each event_id, and else one alone.

    `list100@7` asks for the seventh page of a hundred. `list10@*` asks for thirty pages, `stat@*` thirty statistics, no
    two of them the same: what may be shared among those who ask the same is not shared among these.
    """
    if rpc == "get":
        return [event_pb2.EventRequest(event_id=event_id) for event_id in names.event_ids]
    kind, _, page = rpc.partition("@")
    if kind == "stat":
        return [_stat_message(f"not {number}") for number in range(_VARIETY)] if page else [_stat_message("")]
    limit = int(kind.removeprefix("list"))
    pages = range(_VARIETY) if page == "*" else [int(page or 1) - 1]
    return [_list_message(number * limit + 1, limit) for number in pages]


def _list_message(start: int, limit: int) -> Message:
    return json_format.ParseDict({"query": {"page": {"start": start, "limit": limit}}}, event_pb2.EventQuery())


def _stat_message(other_title: str) -> Message:
    query: dict[str, Any] = {"aggregate": [{"group": _GROUP}]}
    if other_title:
        query["filter"] = [{"k": "title", "v": other_title, "o": "not"}]
    return json_format.ParseDict({"query": query}, event_pb2.EventStatQuery())


def create_message(names: Names, number: int, prefix: str = "load") -> Message:
    """Return the request of the `number`-th create."""
    body = {"webhook_id": names.webhook_id, "access_key": names.access_key, "data": payload(number, prefix)}
    return json_format.ParseDict(body, event_pb2.CreateEventRequest())


def message_maker(rpc: str, names: Names, prefix: str = "load") -> Callable[[], bytes]:
    """Make one serialised request after the other: each create is another event, reads are all the same."""
    if rpc.startswith("batch"):
        return _batch_maker(int(rpc.removeprefix("batch")), names, prefix)
    if rpc != "create":
        turns = itertools.cycle([message.SerializeToString() for message in read_messages(rpc, names)])
        return lambda: next(turns)
    # Building a thousand messages takes longer than the server takes to store them: one is built, and its key
    # replaced in the bytes by another one of the same length.
    marker = "N" * 10
    message = create_message(names, 0, prefix)
    key = message.data.fields["event_key"]  # type: ignore[attr-defined]
    key.string_value = f"{prefix}-{marker}-{os.urandom(4).hex()}"
    head, tail = message.SerializeToString().split(marker.encode())
    numbers: Iterator[int] = itertools.count()
    return lambda: b"%b%010d%b" % (head, next(numbers), tail)


def _batch_maker(size: int, names: Names, prefix: str) -> Callable[[], bytes]:
    """Return the same for CreateBatch requests of `size` payloads, all of them different."""
    marker = "N" * 10
    request = ingest_pb2.CreateBatchRequest()
    json_format.ParseDict(payload(0, prefix), request.payloads.add().data)
    request.payloads[0].data.fields["event_key"].string_value = f"{prefix}-{marker}-{os.urandom(4).hex()}"
    head, tail = request.SerializeToString().split(marker.encode())
    sender = ingest_pb2.CreateBatchRequest(webhook_id=names.webhook_id, access_key=names.access_key).SerializeToString()
    numbers: Iterator[int] = itertools.count()
    return lambda: sender + b"".join([b"%b%010d%b" % (head, next(numbers), tail) for _ in range(size)])
