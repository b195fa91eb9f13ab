"""TLS certificates of both ports: read from PEM files, and read again when a file changes.

A process is not notified of a replaced file, so each new connection checks: three `stat` calls, some microseconds.
The HTTP port uses the gRPC port's certificate, but asks for no client certificate: monitoring tools, SDKs and browsers
have none, and send their credentials in the URL or in the request.
"""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import grpc
from cryptography import x509
from cryptography.x509.oid import NameOID

from event_service.settings import Settings

T = TypeVar("T")

_log = logging.getLogger(__name__)


class TlsError(Exception):
    """The certificate files are unusable; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files.

    Attributes:
        certificate: the server's certificate, followed by its intermediates.
        key: its private key, not encrypted.
        client_ca: authorities of client certificates, which are then required; None = clients need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def state(self) -> tuple[tuple[int, int, int], ...]:
        """Return a value that differs once one of the files is replaced or rewritten. Raise OSError."""
        stats = [path.stat() for path in self.paths()]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)

    def context(self) -> ssl.SSLContext:
        """Return a server's context made of the files.

        Raises:
            TlsError: a file is missing, unreadable or not PEM, or the key is not the certificate's.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # RFC 8996 deprecates TLS 1.0 and 1.1.
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key, password=_refuse_password)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise self.error(error) from error
        return context

    def error(self, error: Exception) -> TlsError:
        """Return the error that names these files and the cause."""
        return TlsError(f"cannot use the TLS files ({', '.join(map(str, self.paths()))}): {error}")

    def paths(self) -> list[Path]:
        """Return the paths that are set."""
        return [path for path in (self.certificate, self.key, self.client_ca) if path is not None]


class CertificateReloader(Generic[T]):
    """An object made of the files, and made again when they change. Thread-safe.

    While the files are being replaced, or after they were replaced by unusable ones, the last object stays in use.

    Args:
        load: makes the object; raises TlsError.

    Attributes:
        current: the object made last.

    Raises:
        TlsError: the files are unusable at start.
    """

    def __init__(self, files: TlsFiles, load: Callable[[TlsFiles], T]) -> None:
        self._files = files
        self._load = load
        self._lock = Lock()
        try:
            self._state = files.state()
        except OSError as error:
            raise files.error(error) from error
        self.current = load(files)

    def reload(self) -> T | None:
        """Load the files if they have changed. Return the new object, or None if nothing has changed."""
        with self._lock:
            try:
                state = self._files.state()
                if state == self._state:
                    return None
                self.current = self._load(self._files)
            except (TlsError, OSError) as error:
                _log.warning("keeping the previous certificates: %s", error)
                return None
            self._state = state
            _log.info("loaded new certificates: %s", self._files.certificate)
            return self.current


def tls_files(settings: Settings) -> TlsFiles | None:
    """Return the files that the settings name, or None if TLS is off.

    Raises:
        TlsError: only some of the settings are set.
    """
    certificate, key, client_ca = settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    raise TlsError("TLS needs both EVENT_SERVICE_TLS_CERT_FILE and EVENT_SERVICE_TLS_KEY_FILE")


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials of the gRPC port; each new connection is offered the files' current content.

    Raises:
        TlsError: the files are unusable at start.
    """
    reloader = CertificateReloader(files, _load_grpc)
    return grpc.dynamic_ssl_server_credentials(
        reloader.current,
        reloader.reload,  # type: ignore[arg-type]  # the stubs do not know that None means no change
        require_client_authentication=files.client_ca is not None,
    )


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context of the HTTP port; each new connection is offered the files' current content.

    Raises:
        TlsError: the files are unusable at start.
    """
    reloader = CertificateReloader(replace(files, client_ca=None), _load_http)

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        reloader.reload()
        connection.context = reloader.current

    # Called at every handshake, also where the client sends no host name.
    first = reloader.current
    first.sni_callback = choose
    return first


def ends_at(certificate: Path) -> datetime:
    """Return the expiry of the first certificate of a PEM file, UTC. Raise OSError and ValueError."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def name_in(certificate: Path) -> str:
    """Return a host name or address that the first certificate of a PEM file is valid for; "" if it names none.

    Raises:
        OSError, ValueError: the file is unreadable or not PEM.
    """
    read = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(common[0].value) if common else ""
    valid = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    # Any one label matches a wildcard.
    return valid[0].replace("*", "any") if valid else ""


def _load_grpc(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    files.context()  # gRPC does not report unusable files; this does
    try:
        return grpc.ssl_server_certificate_configuration(
            [(files.key.read_bytes(), files.certificate.read_bytes())],
            files.client_ca.read_bytes() if files.client_ca is not None else None,
        )
    except OSError as error:
        raise files.error(error) from error


def _load_http(files: TlsFiles) -> ssl.SSLContext:
    context = files.context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _refuse_password() -> str:
    raise ValueError("the private key is encrypted; give the path of an unencrypted one")
