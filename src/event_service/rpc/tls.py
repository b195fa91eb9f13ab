"""Certificates of the gRPC port, read from files and read again when the files change."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import grpc

from event_service.settings import Settings

_log = logging.getLogger(__name__)


class TlsError(Exception):
    """The certificate files cannot be used; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the certificates are, PEM.

    Attributes:
        certificate: the server's, followed by its intermediates.
        key: its private key, not encrypted.
        client_ca: authorities whose client certificates are accepted, and then demanded; None = clients need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def state(self) -> tuple[tuple[int, int, int], ...]:
        """What changes when one of the files is replaced or rewritten."""
        stats = [path.stat() for path in self._paths()]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)

    def load(self) -> grpc.ServerCertificateConfiguration:
        """The files' content.

        Raises:
            TlsError: missing, unreadable, not PEM, or a key that is not the certificate's.
        """
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key, password=_refuse_password)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
            return grpc.ssl_server_certificate_configuration(
                [(self.key.read_bytes(), self.certificate.read_bytes())],
                self.client_ca.read_bytes() if self.client_ca is not None else None,
            )
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            names = ", ".join(str(path) for path in self._paths())
            raise TlsError(f"the TLS files cannot be used ({names}): {error}") from error

    def _paths(self) -> list[Path]:
        return [path for path in (self.certificate, self.key, self.client_ca) if path is not None]


def tls_files(settings: Settings) -> TlsFiles | None:
    """What the settings name; None where they ask for no TLS.

    Raises:
        TlsError: only a part of it is named.
    """
    certificate, key, client_ca = settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file
    if certificate is not None and key is not None:
        return TlsFiles(certificate, key, client_ca)
    if certificate is None and key is None and client_ca is None:
        return None
    raise TlsError("TLS needs both EVENT_SERVICE_TLS_CERT_FILE and EVENT_SERVICE_TLS_KEY_FILE")


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow the files: each new connection is offered what they hold by then.

    Files that are being replaced, or were replaced by something unusable, leave what was in use before.

    Raises:
        TlsError: they cannot be used at start.
    """
    return grpc.dynamic_ssl_server_credentials(
        files.load(),
        _Follower(files),  # type: ignore[arg-type]  # the stubs do not know that None means no change
        require_client_authentication=files.client_ca is not None,
    )


class _Follower:
    """Called by gRPC in threads of its own, before each handshake."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._state = files.state()
        self._lock = Lock()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        with self._lock:
            try:
                state = self._files.state()
                if state == self._state:
                    return None
                loaded = self._files.load()
            except (TlsError, OSError) as error:
                _log.warning("the certificates in use stay in use: %s", error)
                return None
            self._state = state
            _log.info("new certificates are in use: %s", self._files.certificate)
            return loaded


def _refuse_password() -> str:
    raise ValueError("the private key is encrypted")
