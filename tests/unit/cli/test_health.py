"""The default server of `event-service health`."""

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
def test_local_service_address(listens: str, asked: str) -> None:
    assert for_local_service(Connection(), load_settings({"grpc_address": listens})).server == asked


def test_given_certificates_are_kept(tmp_path: Path) -> None:
    tls = {"tls_cert_file": tmp_path / "server.pem", "tls_key_file": tmp_path / "server.key"}
    Authority("ours").issue("localhost").write(*tls.values())
    named = Connection(ca_file=tmp_path / "ca.pem", cert_file=tmp_path / "own.pem", key_file=tmp_path / "own.key")
    connection = for_local_service(named, load_settings(tls))
    assert (connection.ca_file, connection.cert_file, connection.name) == (named.ca_file, named.cert_file, "")
    assert for_local_service(Connection(), load_settings(tls)).name == "127.0.0.1"
