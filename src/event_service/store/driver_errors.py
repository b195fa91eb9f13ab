"""What went wrong in the database, in the words of `errors.py`: the only place that reads MongoDB's error codes.

Numbers are MongoDB's (error_codes.yml).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    DeadlineExceeded,
    EventServiceError,
    FieldViolation,
    Internal,
    InvalidArgument,
    QueryError,
    TooLarge,
    Unavailable,
)

DUPLICATE_KEY = 11000
DOCUMENT_TOO_LARGE = 10334

_RETRY_SOON = 0.5  # seconds: an election, a restart
_RETRY_LATER = 5.0  # seconds: somebody has to make room or mend something first

_TIME_LIMIT = 50
_TOO_SLOW = "The query took too long. Narrow it, for example by a range of created_at, an event_key or a webhook_id."
_DISTINCT_TOO_LARGE = 17217
_TOO_LARGE = frozenset({DOCUMENT_TOO_LARGE, 17280, 17419, 17420, 13548})
# InternalError, UnknownError, OutOfDiskSpace, and not being authorised.
_NEEDS_THE_OPERATOR = frozenset({1, 8, 14031, 11, 13, 18, 8000})
# HostUnreachable, LockTimeout, WriteConcernTimeout, ShutdownInProgress, NotWritablePrimary and their kin.
_TRANSIENT = frozenset(
    {
        6, 7, 24, 43, 46, 64, 79, 89, 91, 100, 107, 112, 133, 134, 150, 175, 189, 202, 237, 262, 317, 384, 462,
        9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class WriteFailure:
    """One member of a bulk write that was refused.

    Attributes:
        index: its place in the bulk write.
        key: for DUPLICATE_KEY, the first field of the index that refused it (`_id`, `event_id`); else "".
    """

    index: int
    code: int
    key: str
    message: str


def write_errors(error: BulkWriteError) -> list[WriteFailure]:
    """The members of a bulk write that failed; all others are stored and journalled.

    Raises:
        Unavailable: the write concern was not met, so that nothing is known of any of them.
    """
    details: Mapping[str, Any] = error.details or {}
    try:
        return write_failures(details.get("writeErrors", ()), details.get("writeConcernErrors"))
    except Unavailable as unavailable:
        raise unavailable from error


def write_failures(failures: Iterable[Mapping[str, Any]], concern: object = None) -> list[WriteFailure]:
    """The same from a server's own reply.

    Args:
        failures: its `writeErrors`.
        concern: its `writeConcernError`, if there is one.

    Raises:
        Unavailable: there is one.
    """
    if concern:
        raise Unavailable(retry_after=_RETRY_SOON)
    return [
        WriteFailure(
            index=int(failure["index"]),
            code=int(failure.get("code") or 0),
            key=_refusing_key(failure),
            message=str(failure.get("errmsg", "")),
        )
        for failure in failures
    ]


_INDEX_IN_MESSAGE = re.compile(r"index: (?:\S+\.\$)?(?P<name>\w+)")


def _refusing_key(failure: Mapping[str, Any]) -> str:
    for name in ("keyPattern", "keyValue"):
        pattern = failure.get(name)
        if isinstance(pattern, Mapping) and pattern:
            return str(next(iter(pattern)))
    match = _INDEX_IN_MESSAGE.search(str(failure.get("errmsg", "")))  # mongomock, servers before 4.2
    if match is None:
        return ""
    name = match["name"]
    return "_id" if name.startswith("_id") else re.sub(r"_-?1.*$", "", name)


def translate_write(failure: WriteFailure) -> EventServiceError:
    """The error for one refused member of a bulk write (DUPLICATE_KEY is the caller's business)."""
    return _of_code(failure.code, failure.message, writing=True)


class database_errors:  # noqa: N801 - reads as a phrase: `with database_errors():`
    """Lets no pymongo error out: raises the `EventServiceError` that says the same.

    A class and not a generator: it stands around every database call.

    Args:
        writing: a write is inside. What has to be said of a failure differs: a query that takes too long is for the
            caller to narrow, a write that takes too long may be sent again.
        querying: a caller's own query is inside, under a time limit: no reply by then is for the caller to narrow, too.
            A server that is away says so earlier.
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
            raise DeadlineExceeded(_TOO_SLOW) from error
        if isinstance(error, (PyMongoError, BSONError, OverflowError, UnicodeEncodeError)):
            raise translate(error, writing=self._writing) from error


def translate(error: Exception, *, writing: bool = False) -> EventServiceError:
    """The error a caller is to see for one of the driver's."""
    if isinstance(error, DocumentTooLarge):
        return _too_large(writing=writing)
    if isinstance(error, BulkWriteError):
        return _of_bulk(error)
    if isinstance(error, OperationFailure):
        return _of_code(error.code or 0, str(error), writing=writing)
    if isinstance(error, PyMongoError):
        # Connections lost, no server found in time, a reply that did not come in time, a client closed by a stop.
        return Unavailable(retry_after=_RETRY_SOON)
    # What BSON cannot hold: an integer beyond 64 bits, half of a surrogate pair, NUL in a regular expression.
    if writing:
        return InvalidArgument.at("data", f"holds a value that cannot be stored: {_plain(error)}")
    return _refused_query(f"The query holds a value that cannot be stored or looked for: {_plain(error)}")


def _of_bulk(error: BulkWriteError) -> EventServiceError:
    try:
        failures = write_errors(error)
    except Unavailable as unavailable:
        return unavailable
    return translate_write(failures[0]) if failures else Unavailable(retry_after=_RETRY_SOON)


def _of_code(code: int, message: str, *, writing: bool) -> EventServiceError:
    if code in _TRANSIENT or (code == _TIME_LIMIT and writing):
        return Unavailable(retry_after=_RETRY_SOON)
    if code == _TIME_LIMIT:
        return DeadlineExceeded(_TOO_SLOW)
    if code in _NEEDS_THE_OPERATOR:
        return Unavailable("The database cannot do its work at present; send again later.", retry_after=_RETRY_LATER)
    if code in _TOO_LARGE:
        return _too_large(writing=writing)
    if writing:
        return Internal(f"The database refused a write (code {code}).")
    return (
        _refused_distinct()
        if code == _DISTINCT_TOO_LARGE
        else _refused_query(f"The database cannot answer this query: {_plain(message)}")
    )


def _too_large(*, writing: bool) -> TooLarge:
    if writing:
        return TooLarge.at("data", "the event takes more than the 16 MiB of a database document; send less of it")
    return TooLarge.at("query", "it or its result takes more than the 16 MiB of a database document; ask for less")


def _refused_distinct() -> QueryError:
    advice = "its values take more than 16 MB: narrow the filter, or group by the field and ask for a page of that"
    return QueryError.at("query.distinct", advice)


def _refused_query(message: str) -> QueryError:
    return QueryError(message, violations=[FieldViolation("query", message)])


def _plain(error: Exception | str) -> str:
    """The first sentence of the driver's text: pymongo appends the whole server reply after `, full error:`.

    Before the last `caused by` stand only the server's own steps, with the names of its collections.
    """
    reason = str(error).split(", full error:", 1)[0].rsplit(":: caused by :: ", 1)[-1]
    return reason.splitlines()[0][:300] if reason else "no reason given"
