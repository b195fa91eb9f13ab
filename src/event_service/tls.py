"""TLS certificates by file path, read again when the files change; what both servers do with them is theirs.

Nothing tells a process that a file was replaced, so each new connection looks: three `stat` calls, some microseconds.
"""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from event_service.settings import Settings

T = TypeVar("T")

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
        stats = [path.stat() for path in self.paths()]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)

    def context(self) -> ssl.SSLContext:
        """A server's context with the files' content.

        Raises:
            TlsError: missing, unreadable, not PEM, or a key that is not the certificate's.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
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
        """That these files cannot be used, and why."""
        return TlsError(f"the TLS files cannot be used ({', '.join(map(str, self.paths()))}): {error}")

    def paths(self) -> list[Path]:
        """Those that are named."""
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


def ends_at(certificate: Path) -> datetime:
    """When the first certificate of a PEM file ends, UTC. Raises OSError and ValueError."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc


def name_in(certificate: Path) -> str:
    """A host name or an address that the first certificate of a PEM file holds for. Raises OSError and ValueError."""
    read = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(common[0].value) if common else ""
    held = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return held[0].replace("*", "any") if held else ""


class Follower(Generic[T]):
    """What is made of the files, made anew when they have changed. May be asked from several threads.

    Files that are being replaced, or were replaced by something unusable, leave what was in use before.

    Args:
        load: makes it; raises TlsError.

    Attributes:
        in_use: what was made last.

    Raises:
        TlsError: they cannot be used at the start.
    """

    def __init__(self, files: TlsFiles, load: Callable[[TlsFiles], T]) -> None:
        self._files = files
        self._load = load
        self._lock = Lock()
        try:
            self._state = files.state()
        except OSError as error:
            raise files.error(error) from error
        self.in_use = load(files)

    def renew(self) -> T | None:
        """Looks at the files: what is in use from now on, or None if nothing has changed."""
        with self._lock:
            try:
                state = self._files.state()
                if state == self._state:
                    return None
                self.in_use = self._load(self._files)
            except (TlsError, OSError) as error:
                _log.warning("the certificates in use stay in use: %s", error)
                return None
            self._state = state
            _log.info("new certificates are in use: %s", self._files.certificate)
            return self.in_use


def _refuse_password() -> str:
    raise ValueError("the private key is encrypted")
