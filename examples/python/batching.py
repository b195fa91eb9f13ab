"""Send a thousand events in a few calls; each is stored once, also after retries.

python batching.py [COUNT]
"""

import os
import sys

from event_service.client import EventClient

count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000

with EventClient(
    os.environ.get("EVENT_SERVICE_SERVER", "127.0.0.1:50051"),
    os.environ["EVENT_SERVICE_WEBHOOK_ID"],
    os.environ["EVENT_SERVICE_ACCESS_KEY"],
) as client:
    # `send` returns at once with a future; it waits only where more is queued than the client may hold.
    futures = [
        client.send({"event_key": f"job:{number}", "title": f"Job {number} failed", "severity": "WARNING"})
        for number in range(count)
    ]
    stored = [future.result(timeout=60) for future in futures]
print(sum(one.event_count for one in stored), "events stored, the first as", stored[0].event_ids[0])
