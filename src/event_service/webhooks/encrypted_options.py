"""Secret options of a webhook: encrypted in the database, masked in replies.

The name makes an option secret: event-service's own `sentry_client_secret` and `pagerduty_secrets`, and options of
remote plugins named like secret, password, token, api_key, credential or private_key. Replies show a mask; a request
with the mask keeps the stored secret.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from event_service.errors import Internal, InvalidArgument
from event_service.model.webhook import is_secret_name
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.keys import MASK

PREFIX = "encrypted:"
"""Prefix of an encrypted option. Without it the value is used as it is: upstream's databases have plain secrets."""

Options = Mapping[str, Any]


def is_secret(name: str, value: Any) -> bool:
    """Return True if replies must mask this option; booleans and null reveal nothing."""
    return is_secret_name(name) and not isinstance(value, bool) and value is not None


def masked(options: Options) -> dict[str, Any]:
    """Return the options with secrets masked, for replies."""
    return {name: MASK if is_secret(name, value) else value for name, value in options.items()}


def encrypted(options: Options, encryptor: Encryptor, webhook_id: str) -> dict[str, Any]:
    """Return the options with secrets encrypted and bound to webhook and option name, for the database.

    Raises:
        SecretKeyError: the secret key cannot be read or created.
    """
    return {
        name: _encrypt(value, encryptor, _owner(webhook_id, name)) if is_secret(name, value) else value
        for name, value in options.items()
    }


def decrypted(options: Options, encryptor: Encryptor, webhook_id: str) -> dict[str, Any]:
    """Return the options with secrets in clear, for parsers.

    Raises:
        Internal: a secret was encrypted under another secret key, or for another webhook.
        SecretKeyError: the secret key cannot be read or created.
    """
    return {
        name: _decrypt(value, encryptor, _owner(webhook_id, name)) if _is_encrypted(value) else value
        for name, value in options.items()
    }


def has_encrypted_option(options: Options) -> bool:
    """Return True if any stored option is encrypted."""
    return any(map(_is_encrypted, options.values()))


def with_kept_secrets(given: Options, before: Options) -> dict[str, Any]:
    """Return the given options, with each mask replaced by the stored secret.

    Args:
        before: the present options, decrypted.

    Raises:
        InvalidArgument: a mask for a secret that the webhook does not have.
    """
    options = dict(given)
    for name, value in given.items():
        if value == MASK and is_secret(name, value):
            if before.get(name) is None:
                raise InvalidArgument.at(f"plugin_info.options.{name}", "is a mask; send the secret itself")
            options[name] = before[name]
    return options


def _owner(webhook_id: str, name: str) -> str:
    return f"{webhook_id}/options/{name}"


def _is_encrypted(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(PREFIX)


def _encrypt(value: Any, encryptor: Encryptor, owner: str) -> str:
    return PREFIX + base64.b64encode(encryptor.encrypt(json.dumps(value), owner)).decode()


def _decrypt(value: str, encryptor: Encryptor, owner: str) -> Any:
    try:
        ciphertext = base64.b64decode(value.removeprefix(PREFIX), validate=True)
    except ValueError as error:
        raise Internal("A secret option of the webhook cannot be decrypted; set it again.") from error
    return json.loads(encryptor.decrypt(ciphertext, owner))
