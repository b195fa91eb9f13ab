"""The alert rate limit of two replicas that are killed within the minute."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo import MongoClient

from tests.chaos.conftest import MakeService
from tests.chaos.scale import LONG
from tests.waiting import wait_until


@pytest.mark.timeout(180)
def test_replicas_share_the_limit_and_lose_no_report(
    make_service: MakeService, database_uri: str, database_name: str
) -> None:
    replicas = [make_service(database_uri, EVENT_SERVICE_ALERTS_PER_MINUTE="4") for _ in range(2)]
    for replica in replicas:
        replica.spawn()
    for replica in replicas:
        replica.wait_serving()
    webhook = replicas[0].create_webhook()
    wait_until(lambda: datetime.now(UTC).second < 55)  # so that all events fall into one minute
    for number in range(12):
        replicas[number % 2].create_event(webhook, {"event_key": f"k{number}"})
    for replica in replicas:
        replica.kill()
    with MongoClient[dict[str, Any]](database_uri, tz_aware=True) as client:
        alerts, events = client[database_name]["alert"], client[database_name]["event"]
        assert alerts.count_documents({}) == 4 + 1
        if not LONG:  # `make chaos` waits for the end of the minute
            alerts.update_one({"rule": "alerts_per_minute"}, {"$set": {"rate_report.due_at": datetime.now(UTC)}})
        replicas[0].start()
        wait_until(lambda: alerts.count_documents({"rule": "alerts_per_minute", "state": "RESOLVED"}) == 1, 90)
        assert replicas[0].stop() == 0
        (report,) = events.find({"event_type": "RECOVERY"})
        assert report["title"] == "8 events beyond 4 new alerts within a minute"
        assert report["alert_id"] == alerts.find_one({"rule": "alerts_per_minute"}, {"alert_id": True})["alert_id"]
