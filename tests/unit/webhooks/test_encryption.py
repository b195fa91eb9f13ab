import base64
import stat
import threading

import pytest

from event_service.errors import Internal
from event_service.settings import Settings
from event_service.webhooks.encryption import Encryptor, SecretKeyError, decode_secret

SECRET = bytes(range(32))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "data" / "secret.key"


def test_encrypt_decrypt_round_trip(file):
    encryptor = Encryptor(SECRET, file)
    encrypted = encryptor.encrypt("key", "webhook-1")
    assert b"key" not in encrypted
    assert encryptor.decrypt(encrypted, "webhook-1") == "key"
    assert encryptor.encrypt("key", "webhook-1") != encrypted
    assert not file.exists()


def test_ciphertext_bound_to_owner(file):
    encryptor = Encryptor(SECRET, file)
    with pytest.raises(Internal):
        encryptor.decrypt(encryptor.encrypt("key", "webhook-1"), "webhook-2")


@pytest.mark.parametrize(
    "change", [lambda encrypted: encrypted[:-1], lambda encrypted: encrypted[:8], lambda encrypted: b""]
)
def test_modified_ciphertext_refused(file, change):
    encryptor = Encryptor(SECRET, file)
    with pytest.raises(Internal):
        encryptor.decrypt(change(encryptor.encrypt("key", "webhook-1")), "webhook-1")


def test_other_secret_key_refused(file, caplog):
    encrypted = Encryptor(SECRET, file).encrypt("key", "webhook-1")
    with pytest.raises(Internal):
        Encryptor(bytes(32), file).decrypt(encrypted, "webhook-1")
    assert "EVENT_SERVICE_SECRET_KEY" in caplog.text


def test_key_file_created_with_mode_0600(file):
    encryptor = Encryptor(None, file)
    assert not file.exists()
    encrypted = encryptor.encrypt("key", "webhook-1")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["secret.key"]
    assert Encryptor(None, file).decrypt(encrypted, "webhook-1") == "key"
    assert len(decode_secret(file.read_text(), "x")) == 32


def test_concurrent_replicas_share_one_key_file(file):
    encryptors = [Encryptor(None, file) for _ in range(8)]
    encrypted = {}
    threads = [
        threading.Thread(target=lambda one=one: encrypted.setdefault(one, one.encrypt("key", "webhook-1")))
        for one in encryptors
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(encryptors[0].decrypt(one, "webhook-1") == "key" for one in encrypted.values())


def test_readable_key_file_logged(file, caplog):
    Encryptor(None, file).encrypt("key", "webhook-1")
    file.chmod(0o644)
    Encryptor(None, file).encrypt("key", "webhook-1")
    assert "0600" in caplog.text


@pytest.mark.parametrize("content", ["", "short", "A" * 44])
def test_invalid_key_file_not_overwritten(file, content):
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(SecretKeyError, match=r"secret\.key"):
        Encryptor(None, file).encrypt("key", "webhook-1")
    assert file.read_text() == content


def test_directory_cannot_be_created(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SecretKeyError, match=r"secret\.key"):
        Encryptor(None, tmp_path / "data" / "secret.key").encrypt("key", "webhook-1")


def test_setting_takes_precedence_over_file(tmp_path):
    settings = Settings(secret_key=base64.b64encode(SECRET).decode(), data_dir=tmp_path)
    encrypted = Encryptor.from_settings(settings).encrypt("key", "webhook-1")
    assert Encryptor(SECRET, tmp_path / "none").decrypt(encrypted, "webhook-1") == "key"
    assert not list(tmp_path.iterdir())
    generated = Encryptor.from_settings(Settings(secret_key="", data_dir=tmp_path))
    with pytest.raises(Internal):
        generated.decrypt(encrypted, "webhook-1")


@pytest.mark.parametrize("text", ["x", "AAAA", "é" * 44, "A" * 64, "!" * 44])
def test_invalid_setting_refused_without_showing_it(tmp_path, text):
    with pytest.raises(SecretKeyError, match="EVENT_SERVICE_SECRET_KEY") as caught:
        Encryptor.from_settings(Settings(secret_key=text, data_dir=tmp_path))
    assert len(text) < 5 or text not in str(caught.value)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("secret", [SECRET, b"\xff" * 32, b"\xfb\xef" * 16])
def test_standard_and_url_safe_base64_accepted(encode, secret):
    text = encode(secret).decode()
    assert decode_secret(text, "x") == decode_secret(text.rstrip("=") + "\n", "x") == secret
