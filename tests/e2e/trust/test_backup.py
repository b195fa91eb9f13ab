"""`event-service db backup` beside a running service, `db restore` into an empty directory, and a service on that."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.service import Service
from tests.e2e.trust.command_line import CommandLine
from tests.e2e.trust.conftest import Door, Trust

pytestmark = pytest.mark.xdist_group("trust")


def test_backup_and_restore(
    trust: Trust, plain_client: object, line: CommandLine, make_service: Callable[..., Service], tmp_path: Path
) -> None:
    here = Door(plain_client)  # type: ignore[arg-type]
    owner = trust.realm.metadata("WORKSPACE_OWNER", wid="workspace-backup")
    wanted = {"name": "kept", "project_id": "project-1", "plugin_info": {"plugin_id": "native"}}
    webhook = here.ask("Webhook", "create", wanted, **owner)
    sender = {name: webhook[name] for name in ("webhook_id", "access_key")}
    encrypted = {**wanted, "name": "signed", "plugin_info": {"plugin_id": "cloud-eye"}}
    here.ask("Webhook", "create", encrypted, **owner)
    for number in range(5):
        here.ask(
            "Event", "create", {**sender, "data": {"event_key": "k", "number": number}}, idempotency_key=f"{number}"
        )
    before = here.ask("Event", "list", {}, **owner)
    hooks = here.ask("Webhook", "list", {}, **owner)

    line.set(EVENT_SERVICE_DATA_DIR=str(trust.plain.data_dir))
    made = line.json("db", "backup", "backup.zip")
    assert made["documents"]["event"] >= 5
    assert Path("backup.zip").stat().st_mode & 0o777 == 0o600
    assert "choose a new file" in line.refusal("db", "backup", "backup.zip")
    assert "asks for confirmation" in line.refusal("db", "restore", "backup.zip", "--replace")
    assert "Stop the service first" in line.refusal("db", "restore", "backup.zip", "--replace", "--yes")
    with zipfile.ZipFile("backup.zip") as archive:
        assert not any(webhook["access_key"].encode() in archive.read(name) for name in archive.namelist())

    restored = make_service(
        EVENT_SERVICE_AUTH="jwt",
        EVENT_SERVICE_JWKS_FILE=str(trust.realm.jwks),
        EVENT_SERVICE_TOKEN_AUDIENCE="event-service",
    )
    line.set(EVENT_SERVICE_DATA_DIR=str(restored.data_dir))
    assert "no embedded database in" in line.refusal("db", "check")
    assert line.json("db", "restore", "backup.zip")["documents"] == made["documents"]

    # From here on the database is shared with the service that runs on it.
    restored.start()
    status, said, _ = line.run("db", "check")
    assert (status, "version 1" in said, "no secret key exists" in said) == (1, True, True)
    (restored.data_dir / "secret.key").write_bytes((trust.plain.data_dir / "secret.key").read_bytes())
    assert "can be decrypted" in line.out("db", "check")
    assert restored.call("Event", "list", {}, **owner) == before
    assert len(restored.call("Webhook", "list", {}, **owner)["results"]) == len(hooks["results"])
    # What was sent before the backup is known there, too.
    restored.call("Event", "create", {**sender, "data": {"event_key": "k", "number": 0}}, idempotency_key="0")
    assert restored.call("Event", "list", {}, **owner) == before
    restored.call("Event", "create", {**sender, "data": {"event_key": "k"}})
    rows = restored.call("Event", "list", {}, **owner)["results"]
    assert {row["alert_id"] for row in rows} == {before["results"][0]["alert_id"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "Cannot read"), (b"", "is not a backup"), (b"PK\x05\x06" + b"\0" * 18, "not a backup of event-service")],
)
def test_file_that_is_not_a_backup_is_refused(line: CommandLine, content: bytes | None, said: str) -> None:
    line.set(EVENT_SERVICE_DATA_DIR="data")
    if content is not None:
        Path("odd.zip").write_bytes(content)
    assert said in line.refusal("db", "restore", "odd.zip")
    assert not Path("data").exists()


def test_a_backup_that_fails_leaves_no_file(line: CommandLine) -> None:
    line.set(EVENT_SERVICE_MONGODB_URI="mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    assert "cannot reach 127.0.0.1:1" in line.refusal("db", "backup", "backup.zip")
    assert "Cannot write" in line.refusal("db", "backup", "/proc/backup.zip")
    assert list(Path().iterdir()) == []
