from datetime import UTC, datetime, timedelta

import pytest

from event_service.model.webhook import PluginInfo, Webhook, access_key_hash
from event_service.webhooks import keys
from event_service.webhooks.keys import MASK, delivery_path, is_key_of, new_access_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def webhook(*access_keys, until=None):
    return Webhook(
        webhook_id="webhook-1",
        name="hook",
        domain_id="d",
        workspace_id="w",
        project_id="p",
        plugin=PluginInfo("native"),
        created_at=NOW,
        key_hashes=[access_key_hash(one) for one in access_keys],
        previous_key_expires_at=until,
    )


def test_keys_are_256_url_safe_random_bits():
    made = {new_access_key() for _ in range(100)}
    assert len(made) == 100
    assert all(len(bytes.fromhex(one)) == 32 for one in made)


@pytest.mark.parametrize(
    "wrong", ["", "k", "key-2", "key-1 ", "KEY-1", access_key_hash("key-1"), MASK, "\ud83d", "é", "\x00"]
)
def test_only_the_key_is_valid(wrong):
    assert is_key_of(webhook("key-1"), "key-1", NOW)
    assert not is_key_of(webhook("key-1"), wrong, NOW)


def test_webhook_without_keys_accepts_none():
    assert not is_key_of(webhook(), "", NOW)


def test_previous_key_valid_until_expiry():
    rotated = webhook("new", "old", until=NOW)
    assert is_key_of(rotated, "old", NOW - timedelta(milliseconds=1))
    assert not is_key_of(rotated, "old", NOW)
    assert is_key_of(rotated, "new", NOW + timedelta(days=999))


def test_previous_key_without_expiry_invalid():
    assert not is_key_of(webhook("new", "old"), "old", NOW)


def test_digests_compared_in_constant_time(monkeypatch):
    compared = []

    def compare_digest(left, right):
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(keys.hmac, "compare_digest", compare_digest)
    rotated = webhook("new", "old", until=NOW)
    is_key_of(rotated, "new", NOW - timedelta(seconds=1))
    assert compared == [(access_key_hash("new"), one) for one in rotated.key_hashes]


def test_delivery_path_same_as_upstream():
    assert delivery_path("webhook-1", "k1") == "/monitoring/v1/webhook/webhook-1/k1/events"
    assert delivery_path("webhook-1") == f"/monitoring/v1/webhook/webhook-1/{MASK}/events"
