"""Reads cursors batch by batch: the size of a batch is known before its rows are decoded.

A decoded row takes many times the memory of its bytes, and one row may have 16 MiB.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import bson
from bson.min_key import MinKey
from pymongo.collection import Collection

from event_service.errors import TooLarge
from event_service.store.client import CODEC_OPTIONS

BATCH_ROWS = 500
"""Rows of a batch; small, so that a reader that stops at a limit of bytes has received little more."""

MAX_ROW_BYTES = 15 * 1024 * 1024
"""A larger row never leaves the database: MongoDB 6.0.5 closes the connection when a reply exceeds 16 MiB, which the
driver takes for a failure of the server, and all callers get Unavailable."""

_TOO_LARGE = "row_is_too_large"
# As a MinKey: neither payloads nor UTF-8 contain the byte of its type.
_TOO_LARGE_WIRE = b"\xff" + _TOO_LARGE.encode() + b"\0"

_AT_ONCE_BYTES = 256 * 1024


def aggregate(
    collection: Collection[dict[str, Any]],
    stages: list[dict[str, Any]],
    *,
    max_time_ms: int,
    batch_rows: int = BATCH_ROWS,
    max_row_bytes: int = MAX_ROW_BYTES,
) -> Generator[bytes, None, None]:
    """Yield the batches of an aggregation. Closing the generator ends the aggregation in the database.

    Raises:
        TooLarge: a row has more than `max_row_bytes`.
    """
    small = {"$lte": [{"$bsonSize": "$$ROOT"}, max_row_bytes]}
    guard = {"$replaceWith": {"$cond": [small, "$$ROOT", {"$literal": {_TOO_LARGE: MinKey()}}]}}
    # Any: pymongo declares the batches as documents.
    cursor: Any = collection.aggregate_raw_batches(
        [*stages, guard], maxTimeMS=max_time_ms, allowDiskUse=True, batchSize=batch_rows
    )
    with closing(cursor) as batches:
        for batch in batches:
            if _TOO_LARGE_WIRE in batch:
                raise TooLarge.at("query", f"a row exceeds {max_row_bytes} bytes: ask for less")
            yield batch


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
