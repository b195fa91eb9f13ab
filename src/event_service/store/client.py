"""The connection to MongoDB: what is promised on every write, and how long anything may take."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Any, TypeAlias

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database as PymongoDatabase
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.monitoring import CommandListener, ServerListener, TopologyListener
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from event_service.settings import Settings
from event_service.store.driver_errors import database_errors

Document: TypeAlias = dict[str, Any]
Database: TypeAlias = PymongoDatabase[Document]

JOURNALLED = WriteConcern(w="majority", j=True)
"""OK means: on the disks of a majority. `w: majority` alone was measured to lose acknowledged writes."""

MAJORITY = ReadConcern("majority")
"""Show only what no failover takes back. A primary that has lost its majority still answers `local` reads, for as long
as electionTimeoutMillis, from writes that will be rolled back: an answer from those must not become an acknowledgement.
Source: https://www.mongodb.com/docs/manual/reference/read-concern-majority/
"""

LINEARIZABLE = ReadConcern("linearizable")
"""The same, and as certain of what is not there: a majority read does not show yet what is about to be confirmed. Costs
a write to the majority, and is for primaries only.
Source: https://www.mongodb.com/docs/manual/reference/read-concern-linearizable/
"""

# Defaults that an URI may overrule. A database that has gone away is noticed at once where it closes its sockets, and
# by the monitor's missing heartbeat where it does not: HEARTBEAT + CONNECT.
_HEARTBEAT_MS = 500  # the least that drivers allow
_CONNECT_MS = 1_000
_SERVER_SELECTION_MS = 1_000
_SOCKET_MARGIN_MS = 2_000  # past the server's own limit for a query, so that the server's answer wins
_GOODBYE_SECONDS = 1.0  # for the server to hear that sessions are over, which end by themselves, too
_SPARE_CONNECTIONS = 8  # beside one for each read thread: writer, health, webhook counters, change feed, start-up


class DatabaseSettingsError(Exception):
    """EVENT_SERVICE_MONGODB_URI cannot be used; the text is one line for the operator and holds no password."""


def connect(
    settings: Settings, uri: str, *, listeners: Sequence[CommandListener | ServerListener | TopologyListener] = ()
) -> Database:
    """The database to store in. Nothing is sent yet: the driver connects in the background.

    Args:
        uri: of a MongoDB, or of the embedded database. Time limits named in it win over ours; the write and read
            concern of this service do not change.
        listeners: told by the driver's own monitoring when servers come and go, or of every command.

    Raises:
        DatabaseSettingsError: the URI is malformed.
    """
    try:
        client: MongoClient[Document] = MongoClient(
            uri,
            appname="event-service",
            w="majority",
            journal=True,
            retryWrites=True,
            retryReads=True,
            maxPoolSize=settings.read_threads + _SPARE_CONNECTIONS,
            event_listeners=list(listeners),
            **_unless_named(uri, settings),
        )
    except (InvalidURI, ConfigurationError, ValueError, TypeError, OSError) as error:  # OSError: a file it names
        raise DatabaseSettingsError(f"EVENT_SERVICE_MONGODB_URI cannot be used: {_first_line(error)}") from None
    return client.get_database(
        settings.database, codec_options=CODEC_OPTIONS, write_concern=JOURNALLED, read_concern=MAJORITY
    )


CODEC_OPTIONS: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    # A single odd document of somebody else's must not make a whole list unreadable.
    datetime_conversion=DatetimeConversion.DATETIME_CLAMP,
    unicode_decode_error_handler="replace",
)


def _unless_named(uri: str, settings: Settings) -> dict[str, Any]:
    options = {
        # Asking twice a second finds a new primary as soon as a stream of states does, and spares each server a
        # connection and a thread that are held all the time.
        "serverMonitoringMode": "poll",
        "heartbeatFrequencyMS": _HEARTBEAT_MS,
        "connectTimeoutMS": _CONNECT_MS,
        "serverSelectionTimeoutMS": _SERVER_SELECTION_MS,
        "socketTimeoutMS": settings.query_timeout_ms + _SOCKET_MARGIN_MS,
        "waitQueueTimeoutMS": _SERVER_SELECTION_MS,
    }
    named = uri.lower()
    return {name: value for name, value in options.items() if f"{name.lower()}=" not in named}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


time_limit = pymongo.timeout
"""`with time_limit(seconds):` all database calls inside, retries included, end by then or fail as a timeout."""


@contextmanager
def caller_query(max_time_ms: int) -> Iterator[None]:
    """A caller's own query is inside: it ends in that time on every database, or is the caller's to narrow.

    Raises:
        QueryError, DeadlineExceeded, Unavailable: as `database_errors` has them.
    """
    with database_errors(querying=True), time_limit(max_time_ms / 1000):
        yield


def close(database: Database, seconds: float = _GOODBYE_SECONDS) -> None:
    """Ends the connections of `connect`, and its sessions where the server hears of that in time.

    Without a limit the driver looks for a server that is gone for as long as the URI's serverSelectionTimeoutMS says.

    Args:
        seconds: what may be spent on that, of a second at most.
    """
    with time_limit(max(min(seconds, _GOODBYE_SECONDS), 0.1)):  # to the driver, no seconds are no limit
        database.client.close()
