"""One transaction for a batch of writes: all of them are stored, or none.

    attempt      start > reads, writes > commit (`w: majority, j: true`)
    Conflict     another writer was faster: abort; the caller runs the attempt again
    WriteRefused the server refuses one document: abort; the caller runs the attempt again without it

A transaction that wrote nothing is committed too: only then are its reads majority-committed.
Source: https://www.mongodb.com/docs/manual/core/transactions/#read-concern-write-concern-read-preference
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import TypeAlias

from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from event_service.store.client import JOURNALLED, Database, time_limit
from event_service.store.driver_errors import database_errors

Session: TypeAlias = ClientSession

_SNAPSHOT = ReadConcern("snapshot")
_COMMITS = 3  # of a transaction whose outcome is unknown; the driver sends each twice
_ABORT_SECONDS = 1.0
_TOO_LARGE_FOR_CACHE = 388  # before MongoDB 6.0.3 a WriteConflict; a batch is divided after either


class Conflict(Exception):
    """Nothing was stored, because of another writer or a lost connection. Run the transaction again.

    Attributes:
        disconnected: the connection was lost.
    """

    def __init__(self, *, disconnected: bool = False) -> None:
        super().__init__("conflict with another writer")
        self.disconnected = disconnected


@contextmanager
def transaction(database: Database) -> Iterator[Session]:
    """Run the block in a transaction and commit it. Pass the session to every store that is to take part.

    Raises:
        Conflict: nothing was stored.
        WriteRefused: by a store in the block; nothing was stored.
        EventServiceError: the database failed. Unavailable if the outcome of the commit is unknown.
    """
    with database_errors(writing=True):
        session = database.client.start_session(causal_consistency=False)
        try:
            session.start_transaction(_SNAPSHOT, JOURNALLED, ReadPreference.PRIMARY)
            yield session
            _commit(session)
        except PyMongoError as error:
            if _is_conflict(error):
                raise Conflict(disconnected=isinstance(error, AutoReconnect)) from error
            raise
        finally:
            # In a context of its own, without the time limit of the batch: a transaction that is not aborted locks its
            # documents until transactionLifetimeLimitSeconds (60 s) have passed.
            Context().run(_end, session)


def _commit(session: Session) -> None:
    for left in reversed(range(_COMMITS)):
        try:
            session.commit_transaction()
        except PyMongoError as error:
            if not left or error.timeout or not error.has_error_label("UnknownTransactionCommitResult"):
                raise
        else:
            return


def _end(session: Session) -> None:
    if session.in_transaction:
        with time_limit(_ABORT_SECONDS):
            session.abort_transaction()
    session.end_session()


def _is_conflict(error: PyMongoError) -> bool:
    if isinstance(error, ServerSelectionTimeoutError) or error.timeout:
        return False
    if isinstance(error, OperationFailure) and error.code == _TOO_LARGE_FOR_CACHE:
        return True
    return error.has_error_label("TransientTransactionError")
