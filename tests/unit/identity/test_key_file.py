import json
import os
import time

import pytest

from event_service.identity.issuing import public_half
from event_service.identity.key_file import KeyFile
from event_service.identity.key_set import KeySetError
from tests.unit.identity.signing import KEYS, Clock

ONE = json.dumps({"keys": [public_half(KEYS["ES256"])]})
TWO = json.dumps({"keys": [public_half(KEYS["ES256"]), public_half(KEYS["EdDSA"])]})


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(ONE)
    return path


@pytest.fixture
def clock():
    return Clock(0.0)


@pytest.fixture
def keys(path, clock):
    return KeyFile(path, monotonic=clock)


def test_unchanged_file_same_object(keys, clock):
    first = keys.current()
    clock.now += 10
    assert keys.current() is first


def test_change_visible_within_interval(keys, path, clock):
    path.write_text(TWO)
    clock.now += 0.3
    assert len(keys.current()) == 2


def test_file_not_checked_at_every_call(keys, path, clock):
    path.write_text(TWO)
    clock.now += 0.1
    assert len(keys.current()) == 1


def test_change_with_same_time_and_size_detected(keys, path, clock):
    status = path.stat()
    other = json.dumps({"keys": [public_half(KEYS["EdDSA"])]}).ljust(len(ONE))
    path.write_text(other)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    clock.now += 0.3
    (key,) = keys.current().candidates(key_id=None, domain_id="d", algorithm="EdDSA", system=False)
    assert key.key_id == "key-EdDSA"


def test_replaced_file_detected(keys, path, clock):
    other = path.with_name("new")
    other.write_text(TWO)
    other.replace(path)
    clock.now += 0.3
    assert len(keys.current()) == 2


@pytest.mark.parametrize("broken", ["", "{", '{"keys": [{}]}', None], ids=["empty", "cut", "unusable", "gone"])
def test_broken_file_keeps_previous_keys_and_logs_once(keys, path, clock, caplog, broken):
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    for _ in range(3):
        clock.now += 0.3
        assert len(keys.current()) == 1
        assert str(path) in keys.fault()
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert str(path) in record.getMessage()
    path.write_text(TWO)
    clock.now += 0.3
    assert keys.fault() == ""
    assert len(keys.current()) == 2


@pytest.mark.parametrize("content", [ONE, "{"])
def test_fault_lasts_until_file_is_good(path, clock, monkeypatch, content):
    """A file that vanishes and returns, and a broken one, both with a time stamp that is old enough to trust."""
    old = path.stat().st_ctime_ns + 3_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: old)
    keys = KeyFile(path, monotonic=clock)
    moved = path.rename(path.with_name("moved"))
    clock.now += 0.3
    assert keys.fault()
    moved.write_text(content)
    moved.rename(path)
    for _ in range(3):
        clock.now += 0.3
        assert bool(keys.fault()) == (content != ONE)


def test_empty_key_set_removes_all_keys(keys, path, clock):
    path.write_text('{"keys": []}')
    clock.now += 0.3
    assert len(keys.current()) == 0


def test_old_file_read_once(path, clock, monkeypatch):
    old = time.time_ns() - 10_000_000_000
    os.utime(path, ns=(old, old))
    monkeypatch.setattr(time, "time_ns", lambda: path.stat().st_ctime_ns + 3_000_000_000)
    keys = KeyFile(path, monotonic=clock)
    monkeypatch.setattr(type(path), "read_bytes", lambda self: pytest.fail("read again"))
    clock.now += 0.3
    assert len(keys.current()) == 1


@pytest.mark.parametrize("content", [None, "{"])
def test_unusable_file_fails_start(tmp_path, content):
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeySetError, match=r"jwks\.json"):
        KeyFile(path)


def test_empty_key_set_starts_with_warning(path, caplog):
    path.write_text('{"keys": []}')
    KeyFile(path)
    assert "every token is refused" in caplog.text
