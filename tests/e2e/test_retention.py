"""Retention, from the command line to the document, on a real service."""

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import CodecOptions
from pymongo import MongoClient

from event_service.store.embedded.database import running_uri
from tests.e2e.service import BIN, Service

pytestmark = pytest.mark.xdist_group("retention")


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that keeps events for 30 days, and those that are only for information for a week."""
    settings = {"EVENT_SERVICE_RETENTION_DAYS": "30", "EVENT_SERVICE_RETENTION_BY_SEVERITY": "INFO=7"}
    with Service(tmp_path_factory.mktemp("retention"), settings) as service:
        yield service


def db(service: Service, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**service.environment(), **settings}
    command = [str(BIN / "event-service"), "db", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_from_the_option_to_the_day_it_goes_and_back(keeping: Service) -> None:
    plain, short = keeping.create_webhook("plain"), keeping.create_webhook("short", retention_days=2)
    for webhook, severity in ((plain, "CRITICAL"), (plain, "INFO"), (short, "INFO")):
        keeping.create_event(webhook, {"event_key": severity, "title": "t", "severity": severity})
    uri = running_uri(keeping.data_dir)
    assert uri is not None
    with MongoClient[dict[str, Any]](uri) as client:
        events = client.get_database("monitoring", CodecOptions(tz_aware=True))["event"]
        days = {
            (row["webhook_id"], row["severity"]): (row["expire_at"] - row["created_at"]) / timedelta(days=1)
            for row in events.find()
        }
        assert days == {(plain[0], "CRITICAL"): 30, (plain[0], "INFO"): 7, (short[0], "INFO"): 2}
        # As if they had come ten days ago.
        for row in events.find():
            moved = {name: row[name] - timedelta(days=10) for name in ("created_at", "expire_at")}
            moved["expire_at"] += timedelta(days=365)  # and had been kept longer then
            events.update_one({"_id": row["_id"]}, {"$set": moved})
        counted = db(keeping, "prune", "--dry-run")
        assert counted.returncode == 0, counted.stderr
        assert "2 events would be deleted; the expiry of 1 would be changed." in counted.stdout
        assert "short" in counted.stdout
        assert events.count_documents({}) == 3
        done = json.loads(db(keeping, "prune", "--json").stdout)
        assert (done["dry_run"], done["deleted"], done["changed"]) == (False, 2, 1)
        assert {(group["webhook_id"], group["severity"]) for group in done["groups"]} == {
            (plain[0], "INFO"),
            (short[0], "INFO"),
        }
        (left,) = events.find()
        assert left["expire_at"] - left["created_at"] == timedelta(days=30)
    assert keeping.call("Event", "get", {"event_id": left["event_id"]})["severity"] == "CRITICAL"


def test_an_option_that_cannot_be_is_refused(keeping: Service) -> None:
    command = [str(BIN / "event-service"), "webhook", "create", "--name", "n", "--project-id", "project-1"]
    done = subprocess.run(
        [*command, "--option", "retention_days=-1"],
        env=keeping.environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "retention_days" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_setting_that_cannot_be_is_refused(keeping: Service) -> None:
    done = db(keeping, "prune", "--dry-run", EVENT_SERVICE_RETENTION_BY_SEVERITY="LOUD=1")
    assert done.returncode != 0
    assert "EVENT_SERVICE_RETENTION_BY_SEVERITY" in done.stderr


def test_indexes_can_be_made_beforehand_but_there_is_nothing_to_shard(keeping: Service, tmp_path: Path) -> None:
    made = db(keeping, "init")
    assert "Collections and indexes exist." in made.stdout
    refused = db(keeping, "init", "--sharded")
    assert refused.returncode != 0
    assert "the server is not a mongos" in refused.stderr
    assert "Traceback" not in refused.stderr
