"""Options of a webhook that are secrets: encrypted where they are stored, masked where they are shown.

An option is a secret if its name says so: `sentry_client_secret` and `pagerduty_secrets` of our own, and what a remote
plugin calls secret, password, token, api_key, credential or private_key. It is told once, when it is written; whoever
reads the webhook sees a mask, and may send the mask back to leave the secret as it is.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from event_service.errors import Internal, InvalidArgument
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.keys import MASK

PREFIX = "encrypted:"
"""How a stored secret begins. In an upstream database secrets are in clear, and are taken as they are."""

Options = Mapping[str, Any]

_SECRET_NAME = re.compile(r"secret|passw(?:or)?d|token|api_?key|credential|private_?key", re.IGNORECASE)


def is_secret(name: str, value: Any) -> bool:
    """Whether this option is to be kept from readers. true, false and null give nothing away."""
    return bool(_SECRET_NAME.search(name)) and not isinstance(value, bool) and value is not None


def masked(options: Options) -> dict[str, Any]:
    """The options as their readers see them."""
    return {name: MASK if is_secret(name, value) else value for name, value in options.items()}


def encrypted(options: Options, encryptor: Encryptor, webhook_id: str) -> dict[str, Any]:
    """The options as they are stored: each secret encrypted, bound to its webhook and its name.

    Raises:
        SecretKeyError: there is no key to seal with.
    """
    return {
        name: _encrypt(value, encryptor, _owner(webhook_id, name)) if is_secret(name, value) else value
        for name, value in options.items()
    }


def decrypted(options: Options, encryptor: Encryptor, webhook_id: str) -> dict[str, Any]:
    """The options as parsers need them.

    Raises:
        Internal: a secret was encrypted under another secret key, or for another webhook.
        SecretKeyError: there is no key to open it with.
    """
    return {
        name: _decrypt(value, encryptor, _owner(webhook_id, name)) if _is_encrypted(value) else value
        for name, value in options.items()
    }


def has_encrypted_option(options: Options) -> bool:
    """Whether a stored secret is among the options."""
    return any(map(_is_encrypted, options.values()))


def with_kept_secrets(given: Options, before: Options) -> dict[str, Any]:
    """New options, with the secrets of before wherever their mask was sent back.

    Args:
        before: opened.

    Raises:
        InvalidArgument: a mask for a secret that the webhook does not have.
    """
    options = dict(given)
    for name, value in given.items():
        if value == MASK and is_secret(name, value):
            if before.get(name) is None:
                raise InvalidArgument.at(f"plugin_info.options.{name}", "is masked; give the secret itself")
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
        box = base64.b64decode(value.removeprefix(PREFIX), validate=True)
    except ValueError as error:
        raise Internal("A secret among the webhook's options cannot be opened; set it again.") from error
    return json.loads(encryptor.decrypt(box, owner))
