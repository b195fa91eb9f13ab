"""Write concern, read concern and timeouts of the connection, which the URI changes only in part."""

from collections.abc import Iterator
from datetime import UTC

import pytest
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from event_service.settings import Settings
from event_service.store.client import Database, DatabaseSettingsError, close, connect


@pytest.fixture
def settings() -> Settings:
    return Settings(database="events", query_timeout_ms=3_000, read_threads=4)


@pytest.fixture
def connected(settings: Settings) -> Iterator[Database]:
    database = connect(
        settings, "mongodb://127.0.0.1:1/?w=1&journal=false&readConcernLevel=local&serverSelectionTimeoutMS=250"
    )
    yield database
    close(database)


def test_uri_cannot_change_the_write_concern(connected: Database) -> None:
    assert connected.name == "events"
    assert connected["event"].write_concern == WriteConcern(w="majority", j=True)


def test_uri_cannot_change_the_read_concern(connected: Database) -> None:
    assert connected["event"].read_concern == ReadConcern("majority")


def test_datetimes_are_aware_and_utc(connected: Database) -> None:
    assert connected.codec_options.tz_aware
    assert connected.codec_options.tzinfo is UTC


def test_uri_overrides_default_timeouts(connected: Database) -> None:
    options = connected.client.options
    assert options.server_selection_timeout == 0.25
    assert options.pool_options.connect_timeout == 1.0
    assert options.pool_options.socket_timeout == 5.0
    assert options.pool_options.max_pool_size == 18
    assert options.server_monitoring_mode == "poll"


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://",
        "http://user:hunter2@x",
        "mongodb://user:hunter2@x:99999/",
        "mongodb://a:b:c@x",
        "mongodb://user:hunter2@x/?tls=true&tlsCAFile=/nonexistent",
    ],
)
def test_malformed_uri_is_one_line_without_the_password(settings: Settings, uri: str) -> None:
    with pytest.raises(DatabaseSettingsError) as caught:
        connect(settings, uri)
    text = str(caught.value)
    assert text.startswith("EVENT_SERVICE_MONGODB_URI")
    assert "\n" not in text
    assert "hunter2" not in text
