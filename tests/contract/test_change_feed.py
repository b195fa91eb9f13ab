"""The change stream of a replica set, as SecantusDB offers it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from event_service.store.change_feed import ChangeFeed
from event_service.store.client import Document
from tests.e2e.service import free_port
from tests.waiting import wait_until

SERVER = Path(sys.executable).with_name("secantusd-py")


class ReplicaSet:
    """A replica set of one member, that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._command = [SERVER, "--port", str(self.port), "--storage-path", folder, "--log-level", "WARNING"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def replica_set(tmp_path: Path) -> Iterator[ReplicaSet]:
    pytest.importorskip("secantus", reason="the embedded database has no wheel for this platform")
    server = ReplicaSet(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(replica_set: ReplicaSet) -> Iterator[MongoClient[Document]]:
    with MongoClient[Document](
        f"mongodb://127.0.0.1:{replica_set.port}/?directConnection=true", serverSelectionTimeoutMS=1000
    ) as client:
        wait_until(lambda: answers(client))
        yield client


def answers(client: MongoClient[Document]) -> bool:
    try:
        client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def test_inserts_of_anybody_are_told_of(
    replica_set: ReplicaSet, client: MongoClient[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_service.store.background._RETRY_SECONDS", 0.1)
    told = Mock()
    events = client["feed"]["event"]
    feed = ChangeFeed(events, told)
    wait_until(lambda: feed.live)

    with MongoClient[Document](f"mongodb://127.0.0.1:{replica_set.port}/?directConnection=true") as other:
        other["feed"]["event"].insert_one({"_id": 1})
        other["feed"]["event"].update_one({"_id": 1}, {"$set": {"title": "t"}})
        other["feed"]["alert"].insert_one({"_id": 1})
        other["feed"]["event"].insert_one({"_id": 2})
        wait_until(lambda: told.call_count >= 3)

    replica_set.stop()
    wait_until(lambda: not feed.live)
    replica_set.start()
    wait_until(lambda: feed.live)
    events.insert_one({"_id": 3})
    wait_until(lambda: told.call_count >= 6)
    feed.stop()
    wait_until(lambda: not feed.live)
    # Three inserts and nothing else that was changed, and each time it began or ended to be live.
    wait_until(lambda: told.call_count >= 7)
    assert told.call_count == 7


def test_a_collection_that_is_dropped_is_followed_anew(
    client: MongoClient[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_service.store.background._RETRY_SECONDS", 0.1)
    told = Mock()
    events = client["feed"]["event"]
    events.insert_one({"_id": 1})
    feed = ChangeFeed(events, told)
    wait_until(lambda: feed.live)
    events.drop()
    wait_until(lambda: told.call_count >= 3)  # live, not live, live again
    wait_until(lambda: feed.live)
    events.insert_one({"_id": 2})
    wait_until(lambda: told.call_count >= 4)
    feed.stop()
    wait_until(lambda: not feed.live)
