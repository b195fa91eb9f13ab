"""What is asked of the servers: the same requests for ours and for upstream, as serialised messages.

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
    """Who asks, and for what.

    Attributes:
        event_id: an event that is there, for get.
        metadata: what every call carries, the token in it.
    """

    webhook_id: str
    access_key: str
    event_id: str
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


_GROUP = {"keys": [{"k": "severity", "n": "severity"}], "fields": [{"n": "count", "o": "count"}]}


def method_of(rpc: str) -> str:
    """`/package.Service/method` of one of `RPCS`, of `list<limit>@<page>`, or of `batch<payloads>` (CreateBatch)."""
    if rpc.startswith("batch"):
        return "/event_service.v1.Ingest/CreateBatch"
    return f"/{SERVICE}/{rpc.rstrip('0123456789@')}"


def read_message(rpc: str, names: Names) -> Message:
    """The request of a reading rpc; `list100@7` asks for the seventh page of a hundred."""
    if rpc == "get":
        return event_pb2.EventRequest(event_id=names.event_id)
    if rpc == "stat":
        return json_format.ParseDict({"query": {"aggregate": [{"group": _GROUP}]}}, event_pb2.EventStatQuery())
    limit, _, page = rpc.removeprefix("list").partition("@")
    start = (int(page or 1) - 1) * int(limit) + 1
    return json_format.ParseDict({"query": {"page": {"start": start, "limit": int(limit)}}}, event_pb2.EventQuery())


def create_message(names: Names, number: int, prefix: str = "load") -> Message:
    """The request of the `number`-th create."""
    body = {"webhook_id": names.webhook_id, "access_key": names.access_key, "data": payload(number, prefix)}
    return json_format.ParseDict(body, event_pb2.CreateEventRequest())


def message_maker(rpc: str, names: Names, prefix: str = "load") -> Callable[[], bytes]:
    """Makes one serialised request after the other: each create is another event, reads are all the same."""
    if rpc.startswith("batch"):
        return _batch_maker(int(rpc.removeprefix("batch")), names, prefix)
    if rpc != "create":
        fixed = read_message(rpc, names).SerializeToString()
        return lambda: fixed
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
    """The same for CreateBatch requests of `size` payloads, all of them different."""
    marker = "N" * 10
    request = ingest_pb2.CreateBatchRequest()
    json_format.ParseDict(payload(0, prefix), request.payloads.add().data)
    request.payloads[0].data.fields["event_key"].string_value = f"{prefix}-{marker}-{os.urandom(4).hex()}"
    head, tail = request.SerializeToString().split(marker.encode())
    sender = ingest_pb2.CreateBatchRequest(webhook_id=names.webhook_id, access_key=names.access_key).SerializeToString()
    numbers: Iterator[int] = itertools.count()
    return lambda: sender + b"".join([b"%b%010d%b" % (head, next(numbers), tail) for _ in range(size)])


REPLY_TYPES: Mapping[str, type[Message]] = {
    "get": event_pb2.EventInfo,
    "list": event_pb2.EventsInfo,
}
