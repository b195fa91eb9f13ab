"""TLS certificates of both ports, and certificates that are replaced while a server runs."""

import asyncio
import logging
import ssl
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509

from event_service.http.server import HttpServer
from event_service.rpc.server import GrpcServer
from event_service.tls import TlsError, TlsFiles, server_context, server_credentials, tls_files
from tests.unit.http.fakes import HttpService
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


async def offered(server: GrpcServer | HttpServer) -> str:
    """Return the subject of the certificate that a new connection is offered."""

    def shake_hands() -> str:
        pem = ssl.get_server_certificate(("127.0.0.1", server.port))
        return x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string()

    return await asyncio.to_thread(shake_hands)


async def test_grpc_calls_over_tls(files: TlsFiles, authority: Authority) -> None:
    async with serving(Methods(), tls_cert_file=files.certificate, tls_key_file=files.key) as server:
        assert await ask(server, authority.certificate) == b"abc"
        error = await failure(ask(server, Authority("another").certificate))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            error = await failure(channel.unary_unary(f"/{EVENT.full_name}/get")(b"", timeout=5))
        assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_grpc_requires_client_certificates(files: TlsFiles, authority: Authority, tmp_path: Path) -> None:
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


async def test_grpc_offers_a_replaced_certificate(
    files: TlsFiles, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Methods(), tls_cert_file=files.certificate, tls_key_file=files.key) as server:
        assert await offered(server) == "CN=server-1"
        files.certificate.write_bytes(b"half a certi")
        with caplog.at_level(logging.WARNING):
            assert await offered(server) == "CN=server-1"
        assert "keeping the previous certificates" in caplog.text
        replacement = authority.issue("server-2")
        files.certificate.write_bytes(replacement.certificate)
        assert await offered(server) == "CN=server-1"  # its key has not been replaced yet
        new_key = files.key.with_suffix(".new")
        new_key.write_bytes(replacement.key)
        new_key.replace(files.key)
        assert await offered(server) == "CN=server-2"
        assert await ask(server, authority.certificate) == b"abc"


@pytest.mark.parametrize("damage", ["missing", "garbage", "other key", "other authority"])
def test_unusable_files_raise_one_line(files: TlsFiles, authority: Authority, damage: str) -> None:
    named = files
    if damage == "missing":
        files.key.unlink()
    elif damage == "garbage":
        files.certificate.write_text("garbage")
    elif damage == "other key":
        files.key.write_bytes(authority.issue("x").key)
    else:
        named = TlsFiles(files.certificate, files.key, files.key)
    with pytest.raises(TlsError, match=r"cannot use the TLS files \(.*server\.pem.*\): ") as caught:
        server_credentials(named)
    assert "\n" not in str(caught.value)


def test_incomplete_settings_are_refused(files: TlsFiles) -> None:
    assert tls_files(settings()) is None
    assert tls_files(settings(tls_cert_file=files.certificate, tls_key_file=files.key)) == files
    for part in ({"tls_cert_file": files.certificate}, {"tls_key_file": files.key}, {"tls_client_ca_file": files.key}):
        with pytest.raises(TlsError, match="needs both"):
            tls_files(settings(**part))


async def test_start_without_certificate_fails(files: TlsFiles) -> None:
    files.certificate.unlink()
    with pytest.raises(TlsError):
        async with serving(Methods(), tls_cert_file=files.certificate, tls_key_file=files.key):
            pass


async def test_http_offers_a_replaced_certificate_without_client_certificates(
    files: TlsFiles, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clients = tmp_path / "clients.pem"
    clients.write_bytes(Authority("clients").certificate)
    server = HttpServer(
        HttpService().app(), "127.0.0.1:0", tls=server_context(TlsFiles(files.certificate, files.key, clients))
    )
    assert server.scheme == "https"
    await server.start()
    try:
        trusting = ssl.create_default_context(cadata=authority.certificate.decode())
        async with httpx.AsyncClient(verify=trusting, base_url=f"https://127.0.0.1:{server.port}") as client:
            assert (await client.get("/healthz")).status_code == 200
            assert await offered(server) == "CN=server-1"
            files.certificate.write_bytes(b"half a certi")
            with caplog.at_level(logging.WARNING):
                assert await offered(server) == "CN=server-1"
            assert "keeping the previous certificates" in caplog.text
            authority.issue("server-2").write(files.certificate, files.key)
            assert await offered(server) == "CN=server-2"
            assert (await client.get("/healthz")).status_code == 200  # on the connection that was open
    finally:
        await server.stop(0)


def test_unusable_files_raise_for_http_too(files: TlsFiles) -> None:
    files.certificate.write_text("garbage")
    with pytest.raises(TlsError, match=r"cannot use the TLS files \(.*server\.pem.*\): "):
        server_context(files)
    files.certificate.unlink()
    with pytest.raises(TlsError, match="No such file"):
        server_context(files)
