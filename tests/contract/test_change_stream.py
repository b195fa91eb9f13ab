"""The change stream of a replica set, also over the end of the server and of the collection."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from pymongo import MongoClient

from event_service.store.change_stream import ChangeStream
from event_service.store.client import Document
from tests.mongod import Node, ReplicaSet
from tests.waiting import wait_until


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A replica set of one member, that can be killed and restarted."""
    with ReplicaSet(tmp_path, 1) as replica_set:
        yield replica_set.nodes[0]


@pytest.fixture
def client(node: Node) -> Iterator[MongoClient[Document]]:
    with MongoClient[Document](node.uri, serverSelectionTimeoutMS=1000) as client:
        yield client


def test_every_insert_calls_on_change(
    node: Node, client: MongoClient[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("event_service.concurrency.background_task._RETRY_SECONDS", 0.1)
    told = Mock()
    events = client["feed"]["event"]
    feed = ChangeStream(events, told)
    wait_until(lambda: feed.live)

    with MongoClient[Document](node.uri) as other:
        other["feed"]["event"].insert_one({"_id": 1})
        other["feed"]["event"].update_one({"_id": 1}, {"$set": {"title": "t"}})
        other["feed"]["alert"].insert_one({"_id": 1})
        other["feed"]["event"].insert_one({"_id": 2})
        wait_until(lambda: told.call_count >= 3)

    node.kill()
    wait_until(lambda: not feed.live)
    node.start()
    wait_until(lambda: feed.live)
    events.insert_one({"_id": 3})
    wait_until(lambda: told.call_count >= 6)
    feed.stop()
    wait_until(lambda: not feed.live)
    # Three inserts and nothing else that was changed, and each time it began or ended to be live.
    wait_until(lambda: told.call_count >= 7)
    assert told.call_count == 7


def test_dropped_collection_is_followed_again(client: MongoClient[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("event_service.concurrency.background_task._RETRY_SECONDS", 0.1)
    told = Mock()
    events = client["feed"]["event"]
    events.insert_one({"_id": 1})
    feed = ChangeStream(events, told)
    wait_until(lambda: feed.live)
    events.drop()
    wait_until(lambda: told.call_count >= 3)  # live, not live, live again
    wait_until(lambda: feed.live)
    events.insert_one({"_id": 2})
    wait_until(lambda: told.call_count >= 4)
    feed.stop()
    wait_until(lambda: not feed.live)
