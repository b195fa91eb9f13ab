"""Reads cursors batch by batch: the size of a batch is known before its rows are decoded.

A decoded row takes many times the memory of its bytes, and one row may have 16 MiB.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import bson
from pymongo.collection import Collection

from event_service.store.client import CODEC_OPTIONS

BATCH_ROWS = 500
"""Rows of a batch: whoever stops at a limit of bytes has not received much more."""

_AT_ONCE_BYTES = 256 * 1024


def aggregate(
    collection: Collection[dict[str, Any]],
    stages: list[dict[str, Any]],
    *,
    max_time_ms: int,
    batch_rows: int = BATCH_ROWS,
) -> Generator[bytes, None, None]:
    """Yield the batches of an aggregation. Closing the generator ends the aggregation in the database."""
    with closing(
        collection.aggregate_raw_batches(stages, maxTimeMS=max_time_ms, allowDiskUse=True, batchSize=batch_rows)
    ) as batches:
        yield from batches


def decoded(batch: bytes) -> Iterable[Mapping[str, Any]]:
    """Return the rows of a batch."""
    # Decoding all rows at once is faster, and takes ten times the memory of the batch.
    if len(batch) <= _AT_ONCE_BYTES:
        return bson.decode_all(batch, CODEC_OPTIONS)
    return bson.decode_iter(batch, CODEC_OPTIONS)


def rows_of(batches: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of all batches, which are bytes; pymongo declares them as documents."""
    for batch in batches:
        yield from decoded(batch)
