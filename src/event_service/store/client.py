"""The connection to MongoDB: write concern, read concerns and timeouts."""

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
"""Acknowledged writes are on the disks of a majority. `w: majority` without `j` was measured to lose them."""

MAJORITY = ReadConcern("majority")
"""Returns only data that no failover rolls back. A primary that has lost its majority answers `local` reads until
electionTimeoutMillis has passed, from writes that will be rolled back; no acknowledgement may rest on those.
Source: https://www.mongodb.com/docs/manual/reference/read-concern-majority/
"""

# Defaults that the URI may override. A server that closes its sockets is found unreachable immediately; one that does
# not, after a missing heartbeat: HEARTBEAT + CONNECT.
_HEARTBEAT_MS = 500  # the minimum that drivers allow
_CONNECT_MS = 1_000
_SERVER_SELECTION_MS = 1_000
_SOCKET_MARGIN_MS = 2_000  # above the server's own maxTimeMS, so that the server's error comes first
_CLOSE_SECONDS = 1.0  # to end sessions, which the server ends by itself otherwise
_SPARE_CONNECTIONS = 10  # for look-ups of webhooks, writer, health check, delivery stats, change stream and start-up


class DatabaseSettingsError(Exception):
    """EVENT_SERVICE_MONGODB_URI cannot be used. The message is one line for the operator, without passwords."""


def connect(
    settings: Settings, uri: str, *, listeners: Sequence[CommandListener | ServerListener | TopologyListener] = ()
) -> Database:
    """Return the database of the settings. Does not block: the driver connects in the background.

    Args:
        uri: connection string. Its timeouts override the defaults here; its read and write concern do not apply.
        listeners: pymongo's listeners of commands, servers or the topology.

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
            maxPoolSize=2 * settings.read_threads + _SPARE_CONNECTIONS,
            event_listeners=list(listeners),
            **_unless_named(uri, settings),
        )
    except (InvalidURI, ConfigurationError, ValueError, TypeError, OSError) as error:  # OSError: a file in the URI
        raise DatabaseSettingsError(f"EVENT_SERVICE_MONGODB_URI is not valid: {_first_line(error)}") from None
    return client.get_database(
        settings.database, codec_options=CODEC_OPTIONS, write_concern=JOURNALLED, read_concern=MAJORITY
    )


CODEC_OPTIONS: CodecOptions[Document] = CodecOptions(
    tz_aware=True,
    tzinfo=UTC,
    # One document of another program with an odd date or string must not make a whole list unreadable.
    datetime_conversion=DatetimeConversion.DATETIME_CLAMP,
    unicode_decode_error_handler="replace",
)


def _unless_named(uri: str, settings: Settings) -> dict[str, Any]:
    options = {
        # At this heartbeat, polling finds a new primary as fast as streaming, with one connection less per server.
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
"""`with time_limit(seconds):` bounds the total time of all database calls inside, retries included."""


@contextmanager
def caller_query(max_time_ms: int) -> Iterator[None]:
    """Bound the time of a caller's query and translate its errors.

    Raises:
        QueryError, QueryTimeout, Unavailable: see `database_errors`.
    """
    with database_errors(querying=True), time_limit(max_time_ms / 1000):
        yield


def close(database: Database, seconds: float = _CLOSE_SECONDS) -> None:
    """Close the connections of `connect`, and end its sessions if the server answers in time.

    Without a limit the driver waits serverSelectionTimeoutMS for a server that is unreachable.

    Args:
        seconds: time limit, at most one second.
    """
    with time_limit(max(min(seconds, _CLOSE_SECONDS), 0.1)):  # 0 means no limit to the driver
        database.client.close()
