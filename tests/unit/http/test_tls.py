"""The HTTP port's certificate, and one that is replaced while the server runs."""

import asyncio
import logging
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from event_service.http.server import HttpServer
from event_service.http.tls import server_context
from event_service.tls import TlsError, TlsFiles
from tests.unit.http.fakes import Door
from tests.unit.rpc.certificates import Authority


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("authority-1")


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> TlsFiles:
    """With an authority for clients, which only the gRPC port asks for."""
    written = TlsFiles(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "clients.pem")
    authority.issue("server-1").write(written.certificate, written.key)
    (tmp_path / "clients.pem").write_bytes(Authority("clients").certificate)
    return written


async def offered(server: HttpServer) -> str:
    """The common name of the certificate that a new connection is offered."""
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", server.port))
    return x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string()


async def test_a_replaced_certificate_is_taken_up(
    files: TlsFiles, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = HttpServer(Door().app(), "127.0.0.1:0", tls=server_context(files))
    assert server.scheme == "https"
    await server.start()
    try:
        (tmp_path / "ca.pem").write_bytes(authority.certificate)
        trusting = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        async with httpx.AsyncClient(verify=trusting, base_url=f"https://127.0.0.1:{server.port}") as client:
            assert (await client.get("/healthz")).status_code == 200
            assert await offered(server) == "CN=server-1"
            files.certificate.write_bytes(b"half a certi")
            with caplog.at_level(logging.WARNING):
                assert await offered(server) == "CN=server-1"
            assert "stay in use" in caplog.text
            authority.issue("server-2").write(files.certificate, files.key)
            assert await offered(server) == "CN=server-2"
            assert (await client.get("/healthz")).status_code == 200  # on the connection it had
    finally:
        await server.stop(0)


def test_files_that_cannot_be_used(files: TlsFiles) -> None:
    files.certificate.write_text("garbage")
    with pytest.raises(TlsError, match=r"the TLS files cannot be used \(.*server\.pem.*\): "):
        server_context(files)
    files.certificate.unlink()
    with pytest.raises(TlsError, match="No such file"):
        server_context(files)
