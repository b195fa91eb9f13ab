"""List the critical events of the last hour with SpaceONE's stubs, page by page; then show an error."""

import os

import grpc
from google.protobuf.json_format import ParseDict
from spaceone.api.monitoring.v1 import event_pb2, event_pb2_grpc

PAGE = 100
token = os.environ.get("EVENT_SERVICE_TOKEN")
metadata = [("token", token)] if token else []


def query(start: int) -> event_pb2.EventQuery:
    return ParseDict(
        {
            "severity": "CRITICAL",
            "query": {
                "filter": [{"k": "created_at", "v": "now-1h", "o": "timediff_gte"}],
                "only": ["event_id", "title", "resources", "created_at", "raw_data.host"],
                "page": {"start": start, "limit": PAGE},
            },
        },
        event_pb2.EventQuery(),
    )


with grpc.insecure_channel(os.environ.get("EVENT_SERVICE_SERVER", "127.0.0.1:50051")) as channel:
    events = event_pb2_grpc.EventStub(channel)
    start, total = 1, 1
    while start <= total:
        page = events.list(query(start), timeout=10, metadata=metadata)
        for event in page.results:
            print(event.created_at, event.event_id, event.title, ", ".join(event.resources))
        start, total = start + PAGE, page.total_count
    print(f"{total} events")

    try:
        wrong = ParseDict({"query": {"filter": [{"k": "colour", "v": "red", "o": "eq"}]}}, event_pb2.EventQuery())
        events.list(wrong, timeout=10, metadata=metadata)
    except grpc.RpcError as error:
        name, _, sentence = error.details().partition(": ")
        print(error.code().name, name, "|", sentence)
