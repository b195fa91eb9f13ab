"""Show new events, and resume after a restart of the service. Stop after COUNT events.

python watch.py [COUNT]
"""

import os
import sys
import time

import grpc

from event_service._gen.event_service.v1 import events_pb2, events_pb2_grpc
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2

wanted = int(sys.argv[1]) if len(sys.argv) > 1 else None
address = os.environ.get("EVENT_SERVICE_SERVER", "127.0.0.1:50051")
token = os.environ.get("EVENT_SERVICE_TOKEN")
metadata = [("token", token)] if token else []
position, seen = "", set()

while wanted is None or len(seen) < wanted:
    request = events_pb2.WatchRequest(query=event_pb2.EventQuery(severity="CRITICAL"), resume_token=position)
    try:
        with grpc.insecure_channel(address) as channel:
            for reply in events_pb2_grpc.EventsStub(channel).Watch(request, metadata=metadata):
                position = reply.resume_token or position
                # After an interruption some events come again; the ids tell.
                if reply.HasField("event") and reply.event.event_id not in seen:
                    seen.add(reply.event.event_id)
                    print(reply.event.created_at, reply.event.title, flush=True)
                    if len(seen) == wanted:
                        break
                elif not reply.HasField("event"):
                    print("watching", file=sys.stderr, flush=True)
    except grpc.RpcError as error:
        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
            raise
        time.sleep(1)
