"""Which service `event-service health` asks where none is named."""

from pathlib import Path

import pytest

from event_service.cli.configuration import load_settings
from event_service.cli.connection import Connection
from event_service.cli.health import for_local_service
from tests.unit.rpc.certificates import Authority


@pytest.mark.parametrize(
    ("listens", "asked"),
    [
        ("127.0.0.1:7001", "127.0.0.1:7001"),
        ("0.0.0.0:7001", "127.0.0.1:7001"),
        (":7001", "127.0.0.1:7001"),
        ("[::]:7001", "[::1]:7001"),
    ],
)
def test_the_own_service_is_asked_where_it_listens(listens: str, asked: str) -> None:
    assert for_local_service(Connection(), load_settings({"grpc_address": listens})).server == asked


def test_certificates_that_are_named_stay(tmp_path: Path) -> None:
    tls = {"tls_cert_file": tmp_path / "server.pem", "tls_key_file": tmp_path / "server.key"}
    Authority("ours").issue("localhost").write(*tls.values())
    named = Connection(ca_file=tmp_path / "ca.pem", cert_file=tmp_path / "own.pem", key_file=tmp_path / "own.key")
    connection = for_local_service(named, load_settings(tls))
    assert (connection.ca_file, connection.cert_file, connection.name) == (named.ca_file, named.cert_file, "")
    assert for_local_service(Connection(), load_settings(tls)).name == "127.0.0.1"
