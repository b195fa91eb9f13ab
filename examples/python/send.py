"""Send one event with SpaceONE's stubs, with retries; it is stored once."""

import os
import time
import uuid

import grpc
from spaceone.api.monitoring.v1 import event_pb2, event_pb2_grpc

request = event_pb2.CreateEventRequest(
    webhook_id=os.environ["EVENT_SERVICE_WEBHOOK_ID"],
    access_key=os.environ["EVENT_SERVICE_ACCESS_KEY"],
)
request.data.update({"event_key": "disk:web-1", "title": "Disk full", "severity": "CRITICAL", "resources": ["web-1"]})

# Chosen once for the event, not for the attempt: whatever is sent again under it is not stored again.
metadata = [("idempotency-key", str(uuid.uuid4()))]

with grpc.insecure_channel(os.environ.get("EVENT_SERVICE_SERVER", "127.0.0.1:50051")) as channel:
    events = event_pb2_grpc.EventStub(channel)
    for attempt in range(10):
        try:
            _, call = events.create.with_call(request, timeout=10, metadata=metadata)
        except grpc.RpcError as error:
            # These may pass. Anything else (a wrong key, a faulty request) would be refused again.
            if error.code() not in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            ):
                raise
            time.sleep(min(0.1 * 2**attempt, 5))
        else:
            # OK means stored and journalled. The trailers say as what.
            print([value for name, value in call.trailing_metadata() if name == "event-id"])
            break
    else:
        raise SystemExit("not stored; keep it, and send it later under the same key")
