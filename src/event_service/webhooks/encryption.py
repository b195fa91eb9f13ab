"""Encryption at rest of secrets that verify signatures.

Cloud Eye, Sentry and PagerDuty sign requests with an HMAC, whose verification needs the secret itself, not a digest.
AES-256-GCM binds each secret to its owner: copied to another webhook, it cannot be decrypted.
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
    """EVENT_SERVICE_SECRET_KEY or its file is unusable; the text is one line for the operator, without the key."""


class Encryptor:
    """Encrypts and decrypts secrets.

    Args:
        secret: the key, 32 bytes; None uses the key in `file`, which is generated at first use.
        file: the generated key, 0600.
    """

    def __init__(self, secret: bytes | None, file: Path) -> None:
        self._file = file
        self._cipher = AESGCM(secret) if secret is not None else None

    @classmethod
    def from_settings(cls, settings: Settings) -> "Encryptor":
        """Create the encryptor that the settings configure.

        Raises:
            SecretKeyError: EVENT_SERVICE_SECRET_KEY is not 32 bytes in base64.
        """
        text = settings.secret_key.get_secret_value()
        secret = decode_secret(text, "EVENT_SERVICE_SECRET_KEY") if text else None
        return cls(secret, settings.data_dir / FILE_NAME)

    def encrypt(self, secret: str, owner: str) -> bytes:
        """Encrypt a secret. Return nonce (12 bytes), ciphertext and tag (16 bytes).

        Args:
            owner: the associated data, such as a webhook_id; decryption needs the same.

        Raises:
            SecretKeyError: the key file can neither be read nor created.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)  # random per encryption: GCM must never reuse a nonce
        return nonce + self._key().encrypt(nonce, secret.encode(), owner.encode())

    def decrypt(self, encrypted: bytes, owner: str) -> str:
        """Decrypt a secret of the same owner.

        Raises:
            Internal: it was encrypted under another secret key, or modified.
            SecretKeyError: the key file can neither be read nor created.
        """
        try:
            plain = self._key().decrypt(encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], owner.encode())
        except (InvalidTag, ValueError):
            logger.error("the secret of %s cannot be decrypted: EVENT_SERVICE_SECRET_KEY has changed", owner)  # noqa: TRY400
            raise Internal(
                "A secret of the webhook cannot be decrypted; rotate its key, or set the secret again."
            ) from None
        return plain.decode()

    def _key(self) -> AESGCM:
        if self._cipher is None:
            self._cipher = AESGCM(_read_or_create(self._file))
        return self._cipher


def decode_secret(text: str, name: str) -> bytes:
    """Decode 32 bytes of base64, standard or URL-safe, padded or not.

    Raises:
        SecretKeyError: the text is anything else; names the setting or file `name`.
    """
    padded = text.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        secret = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        raise SecretKeyError(f"{name} must be {KEY_BYTES} bytes in base64; create them with `openssl rand -base64 32`")
    return secret


def _read_or_create(path: Path) -> bytes:
    try:
        if not path.exists():
            _create(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            logger.warning("%s is readable by other users (mode %o); set 0600", path, mode)
        return decode_secret(path.read_text(encoding="ascii", errors="replace"), str(path))
    except OSError as error:
        raise SecretKeyError(f"{path}: {error.strerror or error}") from error


def _create(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # link is atomic and fails if another process was first: its secret stays.
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
        logger.info("created the secret key %s; back it up: without it encrypted secrets are lost", path)
    finally:
        fresh.unlink(missing_ok=True)
