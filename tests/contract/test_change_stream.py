"""The change stream of a replica set, also after a restart of the server and a drop of the collection."""

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
    """Return a replica set of one member that can be killed and restarted."""
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
    on_change = Mock()
    events = client["stream"]["event"]
    stream = ChangeStream(events, on_change)
    wait_until(lambda: stream.live)

    with MongoClient[Document](node.uri) as other:
        other["stream"]["event"].insert_one({"_id": 1})
        other["stream"]["event"].update_one({"_id": 1}, {"$set": {"title": "t"}})
        other["stream"]["alert"].insert_one({"_id": 1})
        other["stream"]["event"].insert_one({"_id": 2})
        wait_until(lambda: on_change.call_count >= 3)

    node.kill()
    wait_until(lambda: not stream.live)
    node.start()
    wait_until(lambda: stream.live)
    events.insert_one({"_id": 3})
    wait_until(lambda: on_change.call_count >= 6)
    stream.stop()
    wait_until(lambda: not stream.live)
    # Three inserts and nothing else that was changed, and each time it began or ended to be live.
    wait_until(lambda: on_change.call_count >= 7)
    assert on_change.call_count == 7


def test_dropped_collection_is_followed_again(client: MongoClient[Document], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("event_service.concurrency.background_task._RETRY_SECONDS", 0.1)
    on_change = Mock()
    events = client["stream"]["event"]
    events.insert_one({"_id": 1})
    stream = ChangeStream(events, on_change)
    wait_until(lambda: stream.live)
    events.drop()
    wait_until(lambda: on_change.call_count >= 3)  # live, not live, live again
    wait_until(lambda: stream.live)
    events.insert_one({"_id": 2})
    wait_until(lambda: on_change.call_count >= 4)
    stream.stop()
    wait_until(lambda: not stream.live)
