"""Why a server cannot be reached, as far as gRPC tells: TLS on one side only, other authorities, odd files."""

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
    """A directory with the service's ca.pem, server.pem and server.key; stranger.pem is another authority's."""
    ours = Authority("ours")
    (tmp_path / "ca.pem").write_bytes(ours.certificate)
    (tmp_path / "stranger.pem").write_bytes(Authority("stranger").certificate)
    (tmp_path / "junk.pem").write_text("junk")
    ours.issue("localhost").write(tmp_path / "server.pem", tmp_path / "server.key")
    ours.issue("client").write(tmp_path / "client.pem", tmp_path / "client.key")
    return tmp_path


@contextmanager
def listening(files: Path, *, tls: bool, mutual: bool = False) -> Iterator[str]:
    """HOST:PORT of a server that knows no methods."""
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
            lambda at: Connection(ca_file=at / "stranger.pem"),
            "does not come from an authority",
            "--ca-file",
        ),
        (True, False, lambda at: Connection(ca_file=at / "ca.pem", name="other"), "is for another name", "--server"),
        (True, True, lambda at: Connection(ca_file=at / "ca.pem"), "closes the connection", "--cert-file"),
        (False, False, lambda at: Connection(ca_file=at / "ca.pem"), "does not speak TLS", "Leave out --ca-file"),
    ],
    ids=["no TLS of ours", "another authority", "another name", "no certificate of ours", "no TLS of its own"],
)
def test_what_is_wrong_with_tls_is_said(
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


def test_where_nothing_listens_nothing_answers() -> None:
    assert refusal(Connection(server="127.0.0.1:1")).message == "Nothing answers at 127.0.0.1:1."


def test_mutual_tls(files: Path) -> None:
    with listening(files, tls=True, mutual=True) as server:
        own = {"cert_file": files / "client.pem", "key_file": files / "client.key"}
        failure = refusal(Connection(server=server, ca_file=files / "ca.pem", **own))
    assert failure.message == "Method not found!"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ca_file": "junk.pem"}, "junk.pem holds no certificate (PEM)"),
        ({"ca_file": "absent.pem"}, "absent.pem cannot be read: No such file"),
        ({"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "server.key"}, "for the key of --key-file"),
        ({"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "absent.key"}, "cannot be read: No such file"),
        ({"ca_file": "ca.pem", "cert_file": "client.pem"}, "not complete"),
        ({"ca_file": "ca.pem", "key_file": "client.key"}, "not complete"),
        ({"cert_file": "client.pem", "key_file": "client.key"}, "not complete"),
    ],
)
def test_files_that_cannot_be_used_are_refused_before_dialling(files: Path, given: dict[str, str], said: str) -> None:
    connection = Connection(server="127.0.0.1:1")
    for option, name in given.items():
        setattr(connection, option, files / name)
    failure = refusal(connection)
    assert said in failure.message
    assert failure.exit_code == USAGE
