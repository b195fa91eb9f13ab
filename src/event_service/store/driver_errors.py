"""Translates pymongo's exceptions to those of `errors.py`: the only place that reads MongoDB's error codes.

Source: MongoDB, src/mongo/base/error_codes.yml.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    DocumentTooLarge,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
)

from event_service.errors import (
    EventServiceError,
    FieldViolation,
    Internal,
    InvalidArgument,
    QueryError,
    QueryTimeout,
    TooLarge,
    Unavailable,
)

DUPLICATE_KEY = 11000
DOCUMENT_TOO_LARGE = 10334

_RETRY_SOON = 0.5  # seconds; for an election or a restart
_RETRY_LATER = 5.0  # seconds; for what an operator has to correct

_MAX_TIME_MS_EXPIRED = 50
_TOO_SLOW = "The query took too long. Narrow it, for example by a range of created_at, an event_key or a webhook_id."
_DISTINCT_TOO_LARGE = 17217
_TOO_LARGE = frozenset({DOCUMENT_TOO_LARGE, 17280, 17419, 17420, 13548})
# InternalError, UnknownError, OutOfDiskSpace, UserNotFound, Unauthorized, AuthenticationFailed, AtlasError.
_NEEDS_OPERATOR = frozenset({1, 8, 14031, 11, 13, 18, 8000})
# HostUnreachable, LockTimeout, WriteConcernTimeout, ShutdownInProgress, NotWritablePrimary and similar.
_RETRYABLE = frozenset(
    {
        6, 7, 24, 43, 46, 64, 79, 89, 91, 100, 107, 112, 133, 134, 150, 175, 189, 202, 237, 262, 317, 384, 462,
        9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WriteFailure:
    """One refused operation of a bulk write.

    Attributes:
        index: its position in the bulk write.
        code: MongoDB's error code.
        key: for DUPLICATE_KEY, the first field of the violated index (`_id`, `event_id`); else "".
    """

    index: int
    code: int
    key: str
    message: str

    def after(self, start: int) -> "WriteFailure":
        """Return the failure of a bulk write of which this one was sent from `start` on."""
        return replace(self, index=start + self.index)


class WriteRefused(Exception):
    """The server refused one document of a transaction, and has aborted it.

    Attributes:
        collection: name of the collection.
        failure: its index counts the documents that were given to the store.
    """

    def __init__(self, collection: str, failure: WriteFailure) -> None:
        super().__init__(f"{collection}: {failure.message}")
        self.collection = collection
        self.failure = failure


def write_errors(error: BulkWriteError) -> list[WriteFailure]:
    """Return the failed operations of an unordered bulk write; all others are stored and journalled.

    Raises:
        Unavailable: a write concern error: nothing is known of any operation.
    """
    details: Mapping[str, Any] = error.details or {}
    try:
        return write_failures(details.get("writeErrors", ()), details.get("writeConcernErrors"))
    except Unavailable as unavailable:
        raise unavailable from error


def write_failures(failures: Iterable[Mapping[str, Any]], concern: object = None) -> list[WriteFailure]:
    """Return the failed operations of a server's reply.

    Args:
        failures: `writeErrors` of the reply.
        concern: `writeConcernError` of the reply, or None.

    Raises:
        Unavailable: the reply has a write concern error.
    """
    if concern:
        raise Unavailable(retry_after=_RETRY_SOON)
    return [
        WriteFailure(
            index=int(failure["index"]),
            code=int(failure.get("code") or 0),
            key=_violated_key(failure),
            message=str(failure.get("errmsg", "")),
        )
        for failure in failures
    ]


_INDEX_IN_MESSAGE = re.compile(r"index: (?:\S+\.\$)?(?P<name>\w+)")


def _violated_key(failure: Mapping[str, Any]) -> str:
    for name in ("keyPattern", "keyValue"):
        pattern = failure.get(name)
        if isinstance(pattern, Mapping) and pattern:
            return str(next(iter(pattern)))
    match = _INDEX_IN_MESSAGE.search(str(failure.get("errmsg", "")))  # mongomock has no keyPattern
    if match is None:
        return ""
    name = match["name"]
    return "_id" if name.startswith("_id") else re.sub(r"_-?1.*$", "", name)


def translate_write(failure: WriteFailure) -> EventServiceError:
    """Return the error for one refused operation. Callers handle DUPLICATE_KEY themselves."""
    return _from_code(failure.code, failure.message, writing=True)


class database_errors:  # noqa: N801 - reads as a phrase: `with database_errors():`
    """Translate pymongo's exceptions to `EventServiceError`.

    A class and not a generator, which is slower: it surrounds every database call.

    Args:
        writing: the block writes.
        querying: the block runs a caller's query under a time limit: a timeout, of the network too, is QueryTimeout,
            since the query would time out again. (An unreachable server fails earlier.) Elsewhere it is Unavailable.

    Raises:
        EventServiceError: instead of the driver's exception, which is its cause.
    """

    __slots__ = ("_querying", "_writing")

    def __init__(self, *, writing: bool = False, querying: bool = False) -> None:
        self._writing = writing
        self._querying = querying

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._querying and isinstance(error, NetworkTimeout):
            raise QueryTimeout(_TOO_SLOW) from error
        if isinstance(error, (PyMongoError, BSONError, OverflowError, UnicodeEncodeError)):
            raise translate(error, writing=self._writing, querying=self._querying) from error


def translate(error: Exception, *, writing: bool = False, querying: bool = False) -> EventServiceError:
    """Return the error that callers get for one of the driver's exceptions."""
    if isinstance(error, DocumentTooLarge):
        return _too_large(writing=writing)
    if isinstance(error, BulkWriteError):
        return _from_bulk(error)
    if isinstance(error, OperationFailure):
        return _from_code(error.code or 0, str(error), writing=writing, querying=querying)
    if isinstance(error, PyMongoError):
        # A lost connection, a server selection or socket timeout, a client that was closed.
        return Unavailable(retry_after=_RETRY_SOON)
    # BSON cannot hold an integer above 64 bits, a lone surrogate, or NUL in a regular expression.
    if writing:
        return InvalidArgument.at("data", f"holds a value that cannot be stored: {_reason(error)}")
    return _refused_query(f"The query has a value that the database cannot represent: {_reason(error)}")


def _from_bulk(error: BulkWriteError) -> EventServiceError:
    try:
        failures = write_errors(error)
    except Unavailable as unavailable:
        return unavailable
    return translate_write(failures[0]) if failures else Unavailable(retry_after=_RETRY_SOON)


def _from_code(code: int, message: str, *, writing: bool, querying: bool = False) -> EventServiceError:
    if code == _MAX_TIME_MS_EXPIRED and querying:
        return QueryTimeout(_TOO_SLOW)
    if code in _RETRYABLE or code == _MAX_TIME_MS_EXPIRED:
        return Unavailable(retry_after=_RETRY_SOON)
    if code in _NEEDS_OPERATOR:
        return Unavailable("The database refuses requests at present; send again later.", retry_after=_RETRY_LATER)
    if code in _TOO_LARGE:
        return _too_large(writing=writing)
    if writing:
        return Internal(f"The database refused a write (code {code}).")
    # Other codes mean that the server refuses the query's operators or values.
    return (
        distinct_too_large()
        if code == _DISTINCT_TOO_LARGE
        else _refused_query(f"The database cannot answer this query: {_reason(message)}")
    )


def _too_large(*, writing: bool) -> TooLarge:
    if writing:
        return TooLarge.at("data", "the event exceeds the 16 MiB of a database document; send less data")
    return TooLarge.at("query", "the query or its result exceeds the 16 MiB of a database document; ask for less")


def distinct_too_large(most: int = 16 * 1024 * 1024) -> TooLarge:
    """Return the error for distinct values of more than `most` bytes."""
    advice = f"the values exceed {most} bytes: narrow the filter, or group by the field and ask for a page"
    return TooLarge.at("query.distinct", advice)


def _refused_query(message: str) -> QueryError:
    return QueryError(message, violations=[FieldViolation("query", message)])


def _reason(error: Exception | str) -> str:
    """Return the reason in the driver's message.

    pymongo appends the server's reply after `, full error:`; before the last `caused by` the server lists internal
    steps and collections.
    """
    reason = str(error).split(", full error:", 1)[0].rsplit(":: caused by :: ", 1)[-1]
    return reason.splitlines()[0][:300] if reason else "no reason given"
