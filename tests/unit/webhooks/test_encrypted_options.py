import json

import pytest

from event_service.errors import Internal, InvalidArgument
from event_service.webhooks.encrypted_options import PREFIX, decrypted, encrypted, is_secret, masked, with_kept_secrets
from event_service.webhooks.encryption import Encryptor
from event_service.webhooks.keys import MASK

OPTIONS = {
    "sentry_client_secret": "s-1",
    "pagerduty_secrets": ["p-1", "p-2"],
    "api_key": 12345,
    "timezone": "Asia/Seoul",
    "auto_recovery": False,
}
SECRETS = ("sentry_client_secret", "pagerduty_secrets", "api_key")


@pytest.fixture
def encryptor(tmp_path):
    return Encryptor(None, tmp_path / "secret.key")


@pytest.mark.parametrize(
    "name",
    [
        "sentry_client_secret", "pagerduty_secrets", "Token", "password", "PASSWD", "apiKey", "api_key",
        "aws_credentials", "private_key",
    ],
)  # fmt: skip
def test_secret_names(name):
    assert is_secret(name, "x")
    assert is_secret(name, ["x"])
    assert not is_secret(name, True)
    assert not is_secret(name, None)


@pytest.mark.parametrize("name", ["timezone", "event_key", "mapping", "endpoint", "sns_topics", "project_id", "pass"])
def test_other_names_are_not_secret(name):
    assert not is_secret(name, "x")


def test_secrets_are_encrypted_and_decrypted(encryptor):
    stored = encrypted(OPTIONS, encryptor, "webhook-1")
    assert all(stored[name].startswith(PREFIX) for name in SECRETS)
    assert "s-1" not in json.dumps(stored)
    assert (stored["timezone"], stored["auto_recovery"]) == ("Asia/Seoul", False)
    assert decrypted(stored, encryptor, "webhook-1") == OPTIONS
    assert encrypted(OPTIONS, encryptor, "webhook-1")["api_key"] != stored["api_key"], "equal secrets look different"


def test_encrypted_option_bound_to_webhook_name_and_key(encryptor, tmp_path):
    stored = encrypted(OPTIONS, encryptor, "webhook-1")
    moved = {"api_key": stored["sentry_client_secret"]}
    for options, other, webhook_id in (
        (stored, encryptor, "webhook-2"),
        (moved, encryptor, "webhook-1"),
        (stored, Encryptor(None, tmp_path / "another.key"), "webhook-1"),
        ({"api_key": PREFIX + "no base64!"}, encryptor, "webhook-1"),
        ({"api_key": PREFIX}, encryptor, "webhook-1"),
    ):
        with pytest.raises(Internal):
            decrypted(options, other, webhook_id)


def test_plain_options_of_upstream_unchanged(encryptor):
    assert decrypted(OPTIONS, encryptor, "webhook-1") == OPTIONS


def test_secrets_masked(encryptor):
    shown = {**OPTIONS, **dict.fromkeys(SECRETS, MASK)}
    assert masked(OPTIONS) == masked(encrypted(OPTIONS, encryptor, "webhook-1")) == shown


def test_mask_keeps_stored_secret():
    given = {**masked(OPTIONS), "timezone": "UTC", "api_key": "new"}
    assert with_kept_secrets(given, OPTIONS) == {**OPTIONS, "timezone": "UTC", "api_key": "new"}
    with pytest.raises(InvalidArgument, match="api_key: is a mask"):
        with_kept_secrets({"api_key": MASK}, {})
    assert with_kept_secrets({"note": MASK}, {}) == {"note": MASK}
