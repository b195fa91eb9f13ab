"""Queries above the time limit fail as not retryable, with advice to narrow them."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from event_service.errors import QueryTimeout, TooLarge
from event_service.query.fields import EVENT_FIELDS, WEBHOOK_FIELDS
from event_service.query.list_query import parse_list_query
from event_service.query.stat_query import parse_stat_query
from event_service.settings import Settings
from event_service.store.client import Database, close, connect
from event_service.store.event_reader import EventReader
from event_service.store.export_reader import ExportReader, Position
from event_service.store.totals import rollup_store
from event_service.store.webhooks import WebhookStore
from tests.contract.reading import DOMAIN, NOON, reader, stored
from tests.contract.tcp_proxy import TcpProxy

__all__ = ["reader"]

Ask = Callable[[Database], object]
LIMIT_MS = 300
SLOW = 1.0  # seconds, more than the limit and than the driver waits for an answer


def listed(database: Database, **query: Any) -> object:
    with closing(EventReader(database["event"], max_time_ms=LIMIT_MS)) as reading:
        return reading.list(DOMAIN, parse_list_query(query, {}, EVENT_FIELDS))


def total_from_rollups(database: Database) -> object:
    """Read a total of a domain with a rollup, so that the rollup is read first."""
    return listed(database, count_only=True, filter=[{"k": "severity", "v": "INFO", "o": "eq"}])


def statistic(database: Database, **query: Any) -> object:
    with closing(EventReader(database["event"], max_time_ms=LIMIT_MS)) as reading:
        return reading.stat(DOMAIN, parse_stat_query(query, EVENT_FIELDS))


def exported(database: Database) -> object:
    where = parse_list_query({}, {}, EVENT_FIELDS).where
    return ExportReader(database["event"], max_time_ms=LIMIT_MS).page(DOMAIN, where, Position())


def webhooks_listed(database: Database) -> object:
    return WebhookStore(database, LIMIT_MS).list(DOMAIN, parse_list_query({}, {}, WEBHOOK_FIELDS))


COUNT = {"group": {"fields": [{"n": "c", "o": "count"}]}}
QUERIES: dict[str, Ask] = {
    "list": listed,
    "count": lambda database: listed(database, count_only=True),
    "unwound count": lambda database: listed(
        database, count_only=True, only=["resources"], unwind={"path": "resources"}
    ),
    "rollups": total_from_rollups,
    "far page": lambda database: listed(database, page={"start": 1001, "limit": 10}),
    "stat": lambda database: statistic(database, aggregate=[COUNT]),
    "distinct": lambda database: statistic(database, distinct="title"),
    "export": exported,
    "webhooks": webhooks_listed,
}


@pytest.fixture
def slow_database(database: Database, mongodb_uri: str) -> Iterator[Database]:
    """Return a database that replies after the time limit of every query."""
    stored(database, created_at=NOON)
    rollup_store.RollupStore(database["event"], database[rollup_store.COLLECTION]).build(
        "d-1", NOON + timedelta(hours=2)
    )
    proxy = TcpProxy.of_uri(mongodb_uri)
    # Without heartbeats: behind the same delay they would declare the server away and cancel the query.
    options = "directConnection=true&socketTimeoutMS=600&heartbeatFrequencyMS=600000&connectTimeoutMS=20000"
    uri = f"mongodb://127.0.0.1:{proxy.port}/?{options}"
    slow = connect(Settings(database=database.name), uri)
    slow.command("ping")
    proxy.delay = SLOW
    yield slow
    proxy.close()
    close(slow)


@pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)
@pytest.mark.parametrize("name", QUERIES)
def test_timed_out_query_is_query_timeout(slow_database: Database, name: str) -> None:
    with pytest.raises(QueryTimeout, match="Narrow it"):
        QUERIES[name](slow_database)


@pytest.mark.parametrize("database_kind", ["mongodb"], indirect=True)
def test_too_many_distinct_values_name_the_alternatives(database: Database, reader: EventReader) -> None:
    for number in range(17):
        database["event"].insert_one({"domain_id": "d-1", "severity": "INFO", "title": f"{number} " + "x" * 1_000_000})
    with pytest.raises(TooLarge, match="narrow the filter, or group by the field and ask for a page") as caught:
        reader.stat(DOMAIN, parse_stat_query({"distinct": "title"}, EVENT_FIELDS))
    assert [violation.field for violation in caught.value.violations] == ["query.distinct"]
    grouped = {"aggregate": [{"group": {"keys": [{"k": "title", "n": "title"}]}}], "page": {"limit": 2}}
    answer = reader.stat(DOMAIN, parse_stat_query(grouped, EVENT_FIELDS))
    assert (len(answer["results"]), answer["total_count"]) == (2, 17)
