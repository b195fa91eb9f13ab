"""Secrets that must be known to verify a signature, encrypted at rest.

Cloud Eye's senders sign with the key instead of sending it, and an HMAC can only be checked by who knows the key; so it
is with the secrets of Sentry and PagerDuty. They are kept under AES-256-GCM, bound to what they belong to: a encrypted key
that is copied to another webhook does not open.
"""

import base64
import binascii
import logging
import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from event_service.errors import Internal
from event_service.settings import Settings

logger = logging.getLogger(__name__)

KEY_BYTES = 32
NONCE_BYTES = 12
FILE_NAME = "secret.key"


class SecretKeyError(ValueError):
    """EVENT_SERVICE_SECRET_KEY or its file cannot be used; one line for the operator, without the key."""


class Encryptor:
    """Seals and opens secrets.

    Args:
        secret: 32 bytes; None = the key in `file`, which is made when it is first needed.
        file: where a generated key is kept, 0600.
    """

    def __init__(self, secret: bytes | None, file: Path) -> None:
        self._file = file
        self._cipher = AESGCM(secret) if secret is not None else None

    @classmethod
    def from_settings(cls, settings: Settings) -> "Encryptor":
        """The encryptor the settings ask for.

        Raises:
            SecretKeyError: EVENT_SERVICE_SECRET_KEY is not 32 bytes in base64.
        """
        text = settings.secret_key.get_secret_value()
        secret = decode_secret(text, "EVENT_SERVICE_SECRET_KEY") if text else None
        return cls(secret, settings.data_dir / FILE_NAME)

    def encrypt(self, secret: str, owner: str) -> bytes:
        """The secret encrypted: nonce (12 bytes), ciphertext, tag (16 bytes).

        Args:
            owner: what it belongs to, such as a webhook_id; needed to open it again.

        Raises:
            SecretKeyError: the key file can neither be read nor made.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._key().encrypt(nonce, secret.encode(), owner.encode())

    def decrypt(self, encrypted: bytes, owner: str) -> str:
        """The secret that `seal` was given for the same owner.

        Raises:
            Internal: it was encrypted under another secret key, or was changed since.
            SecretKeyError: the key file can neither be read nor made.
        """
        try:
            plain = self._key().decrypt(encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], owner.encode())
        except (InvalidTag, ValueError):
            logger.error("the secret of %s was encrypted under another EVENT_SERVICE_SECRET_KEY", owner)  # noqa: TRY400
            raise Internal(
                "A secret of the webhook cannot be opened; its operator must rotate the key, or set the secret again."
            ) from None
        return plain.decode()

    def _key(self) -> AESGCM:
        if self._cipher is None:
            self._cipher = AESGCM(_kept_secret(self._file))
        return self._cipher


def decode_secret(text: str, name: str) -> bytes:
    """32 bytes from base64, of either alphabet, padded or not.

    Raises:
        SecretKeyError: it is something else; the text names `name`.
    """
    padded = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        secret = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise SecretKeyError(f"{name} must be {KEY_BYTES} bytes in base64, as `openssl rand -base64 32` prints them")
    return secret


def _kept_secret(path: Path) -> bytes:
    """The secret in the file; a new one is made where there is none."""
    try:
        if not path.exists():
            _keep_new(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            logger.warning("%s can be read by others (mode %o); 0600 is expected", path, mode)
        return decode_secret(path.read_text(encoding="ascii", errors="replace"), str(path))
    except OSError as error:
        raise SecretKeyError(f"{path}: {error.strerror or error}") from error


def _keep_new(path: Path) -> None:
    """Writes a new secret in one step; where another process was first, its secret stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
        logger.info("a secret key was made: %s; what it seals is lost without it", path)
    finally:
        fresh.unlink(missing_ok=True)
