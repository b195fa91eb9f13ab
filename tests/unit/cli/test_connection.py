"""Errors of connections: TLS on one side only, wrong CA, unusable files."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from event_service.cli.connection import EVENT, Connection
from event_service.cli.failures import UNREACHABLE, USAGE, Failure
from tests.unit.cli.serving import serving
from tests.unit.rpc.certificates import Authority


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with the service's ca.pem, server.pem and server.key; other.pem is another CA's."""
    ours = Authority("ours")
    (tmp_path / "ca.pem").write_bytes(ours.certificate)
    (tmp_path / "other.pem").write_bytes(Authority("other").certificate)
    (tmp_path / "junk.pem").write_text("junk")
    ours.issue("localhost").write(tmp_path / "server.pem", tmp_path / "server.key")
    ours.issue("client").write(tmp_path / "client.pem", tmp_path / "client.key")
    return tmp_path


@contextmanager
def listening(files: Path, *, tls: bool, mutual: bool = False) -> Iterator[str]:
    """Yield HOST:PORT of a server without methods."""
    credentials = None
    if tls:
        pair = (files / "server.key").read_bytes(), (files / "server.pem").read_bytes()
        credentials = grpc.ssl_server_credentials([pair], (files / "ca.pem").read_bytes(), mutual)
    with serving(grpc.server(ThreadPoolExecutor(1)), credentials) as address:
        yield address


def refusal(connection: Connection) -> Failure:
    with pytest.raises(Failure) as caught:
        connection.call(EVENT, "list", {})
    return caught.value


@pytest.mark.parametrize(
    ("tls", "mutual", "connection", "said", "hint"),
    [
        (True, False, lambda _: Connection(), "closes the connection", "give --ca-file"),
        (
            True,
            False,
            lambda at: Connection(ca_file=at / "other.pem"),
            "is not signed by a CA",
            "--ca-file",
        ),
        (
            True,
            False,
            lambda at: Connection(ca_file=at / "ca.pem", name="other"),
            "is for another host name",
            "--server",
        ),
        (True, True, lambda at: Connection(ca_file=at / "ca.pem"), "closes the connection", "--cert-file"),
        (False, False, lambda at: Connection(ca_file=at / "ca.pem"), "does not speak TLS", "Omit --ca-file"),
    ],
    ids=["client without TLS", "another CA", "another host name", "no client certificate", "server without TLS"],
)
def test_tls_error_names_cause_and_fix(
    files: Path, tls: bool, mutual: bool, connection: Callable[[Path], Connection], said: str, hint: str
) -> None:
    with listening(files, tls=tls, mutual=mutual) as server:
        asked = connection(files)
        asked.server = server
        failure = refusal(asked)
    assert server in failure.message
    assert said in failure.message
    assert hint in failure.hint
    assert failure.exit_code == UNREACHABLE


def test_closed_port_is_reported() -> None:
    assert refusal(Connection(server="127.0.0.1:1")).message == "No server at 127.0.0.1:1."


def test_mutual_tls(files: Path) -> None:
    with listening(files, tls=True, mutual=True) as server:
        own = {"cert_file": files / "client.pem", "key_file": files / "client.key"}
        failure = refusal(Connection(server=server, ca_file=files / "ca.pem", **own))
    assert failure.message == "Method not found!"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ca_file": "junk.pem"}, "junk.pem does not contain a certificate (PEM)"),
        ({"ca_file": "absent.pem"}, "absent.pem: No such file"),
        ({"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "server.key"}, "for the key of --key-file"),
        ({"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "absent.key"}, "No such file"),
        ({"ca_file": "ca.pem", "cert_file": "client.pem"}, "not complete"),
        ({"ca_file": "ca.pem", "key_file": "client.key"}, "not complete"),
        ({"cert_file": "client.pem", "key_file": "client.key"}, "not complete"),
    ],
)
def test_unusable_files_refused_before_connecting(files: Path, given: dict[str, str], said: str) -> None:
    connection = Connection(server="127.0.0.1:1")
    for option, name in given.items():
        setattr(connection, option, files / name)
    failure = refusal(connection)
    assert said in failure.message
    assert failure.exit_code == USAGE
