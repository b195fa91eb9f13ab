"""TLS and client certificates by file, and a certificate that is replaced while the server runs."""

import asyncio
import logging
import ssl
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from event_service.rpc.server import GrpcServer
from event_service.rpc.tls import server_credentials
from event_service.tls import TlsError, TlsFiles, tls_files
from tests.unit.rpc.certificates import Authority, Identity
from tests.unit.rpc.serving import EVENT, Methods, failure, serving, settings


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("authority-1")


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> TlsFiles:
    written = TlsFiles(tmp_path / "server.pem", tmp_path / "server.key")
    authority.issue("server-1").write(written.certificate, written.key)
    return written


async def ask(server: GrpcServer, trusted: bytes, client: Identity | None = None) -> bytes:
    credentials = grpc.ssl_channel_credentials(
        trusted, client.key if client else None, client.certificate if client else None
    )
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials) as channel:
        return await channel.unary_unary(f"/{EVENT.full_name}/get")(b"abc", timeout=5)


async def offered(server: GrpcServer) -> str:
    """The common name of the certificate that a new connection is offered."""

    def shake_hands() -> str:
        pem = ssl.get_server_certificate(("127.0.0.1", server.port))
        return x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string()

    return await asyncio.to_thread(shake_hands)


async def test_calls_answered_over_tls(files: TlsFiles, authority: Authority) -> None:
    async with serving(Methods(), tls_cert_file=files.certificate, tls_key_file=files.key) as server:
        assert await ask(server, authority.certificate) == b"abc"
        error = await failure(ask(server, Authority("another").certificate))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            error = await failure(channel.unary_unary(f"/{EVENT.full_name}/get")(b"", timeout=5))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_client_certificate_required(files: TlsFiles, authority: Authority, tmp_path: Path) -> None:
    clients = Authority("clients")
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(clients.certificate)
    async with serving(
        Methods(), tls_cert_file=files.certificate, tls_key_file=files.key, tls_client_ca_file=trusted
    ) as server:
        assert await ask(server, authority.certificate, clients.issue("client-1")) == b"abc"
        for wrong in (None, authority.issue("client-2")):
            error = await failure(ask(server, authority.certificate, wrong))
            assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_replaced_certificate_used_for_new_connections(
    files: TlsFiles, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Methods(), tls_cert_file=files.certificate, tls_key_file=files.key) as server:
        assert await offered(server) == "CN=server-1"
        files.certificate.write_bytes(b"half a certi")
        with caplog.at_level(logging.WARNING):
            assert await offered(server) == "CN=server-1"
        assert "stay in use" in caplog.text
        replacement = authority.issue("server-2")
        files.certificate.write_bytes(replacement.certificate)
        assert await offered(server) == "CN=server-1"  # its key is not there yet
        new_key = files.key.with_suffix(".new")
        new_key.write_bytes(replacement.key)
        new_key.replace(files.key)
        assert await offered(server) == "CN=server-2"
        assert await ask(server, authority.certificate) == b"abc"


@pytest.mark.parametrize("damage", ["missing", "garbage", "other key", "other authority"])
def test_unusable_files_raise_tls_error(files: TlsFiles, authority: Authority, damage: str) -> None:
    named = files
    if damage == "missing":
        files.key.unlink()
    elif damage == "garbage":
        files.certificate.write_text("garbage")
    elif damage == "other key":
        files.key.write_bytes(authority.issue("x").key)
    else:
        named = TlsFiles(files.certificate, files.key, files.key)
    with pytest.raises(TlsError, match=r"the TLS files cannot be used \(.*server\.pem.*\): ") as caught:
        server_credentials(named)
    assert "\n" not in str(caught.value)


def test_partial_tls_settings_refused(files: TlsFiles) -> None:
    assert tls_files(settings()) is None
    assert tls_files(settings(tls_cert_file=files.certificate, tls_key_file=files.key)) == files
    for part in ({"tls_cert_file": files.certificate}, {"tls_key_file": files.key}, {"tls_client_ca_file": files.key}):
        with pytest.raises(TlsError, match="needs both"):
            tls_files(settings(**part))


async def test_start_without_certificate_does_not_listen(files: TlsFiles) -> None:
    files.certificate.unlink()
    with pytest.raises(TlsError):
        async with serving(Methods(), tls_cert_file=files.certificate, tls_key_file=files.key):
            pass
