"""Limits of a stat's reply, on a collection that never ends."""

import itertools
from collections.abc import Iterator
from typing import Any, cast

import bson
import pytest
from pymongo.collection import Collection

from event_service.errors import TooLarge
from event_service.model.scope import Scope
from event_service.query.fields import EVENT_FIELDS
from event_service.query.stat_query import parse_stat_query
from event_service.store.stat_reader import MAX_ROWS, StatReader

GROUP = {"group": {"keys": [{"k": "title", "n": "a rather long name of a column"}]}}


class Endless:
    """A collection whose aggregations return a batch again and again."""

    def __init__(self, batch: bytes) -> None:
        self.batch = batch
        self.sent = 0
        self.closed = False

    def aggregate_raw_batches(self, *_: Any, **__: Any) -> Iterator[bytes]:
        try:
            for _ in itertools.count():
                self.sent += 1
                yield self.batch
        finally:
            self.closed = True


def ask(collection: Endless, max_bytes: int, **query: Any) -> Any:
    reader = StatReader(cast("Collection[Any]", collection), EVENT_FIELDS, max_time_ms=1000, max_bytes=max_bytes)
    return reader.stat(Scope("d-1"), parse_stat_query({"aggregate": [GROUP], **query}, EVENT_FIELDS))


@pytest.mark.parametrize("query", [{}, {"page": {"limit": 4_000_000_000}}], ids=["all", "page"])
def test_reading_stops_at_the_byte_limit(query: dict[str, Any]) -> None:
    endless = Endless(bson.encode({"_id": {"k0": "x" * 1000}, "f0": 1}))
    with pytest.raises(
        TooLarge, match=r"^query\.page: the rows exceed 10000 bytes: ask for a page, set a limit"
    ) as caught:
        ask(endless, 10_000, **query)
    assert (caught.value.code, caught.value.violations[0].field) == ("RESOURCE_EXHAUSTED", "query.page")
    assert endless.sent <= 12
    assert endless.closed


def test_names_of_columns_count() -> None:
    endless = Endless(bson.encode({"_id": {"k0": "x"}}))
    with pytest.raises(TooLarge):
        ask(endless, 10_000)
    assert endless.sent * (len(endless.batch) + len("a rather long name of a column")) <= 10_100


def test_reading_stops_at_the_row_limit() -> None:
    endless = Endless(bson.encode({}) * 1000)
    with pytest.raises(TooLarge, match=f"more than {MAX_ROWS} rows"):
        ask(endless, 1_000_000_000)
    assert endless.sent <= MAX_ROWS / 1000 + 1


def test_batch_over_the_limit_is_not_decoded() -> None:
    with pytest.raises(TooLarge):
        ask(Endless(b"no BSON" * 1000), 5000)
