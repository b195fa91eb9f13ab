"""Keys and tokens made on the command line are those the service accepts."""

import json
import stat
from pathlib import Path

import pytest

from event_service import cli
from event_service.cli.failures import Failure
from event_service.cli.token import parse_age


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["event-service", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0


def test_keygen_and_issue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    private, jwks = tmp_path / "key.json", tmp_path / "jwks.json"
    run(monkeypatch, "token", "keygen", "--private-key", private, "--jwks", jwks, "--domain-id", "domain-1", "--json")
    made = json.loads(capsys.readouterr().out)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    published = json.loads(jwks.read_text())["keys"]
    assert [key["kid"] for key in published] == [made["kid"]]
    assert "d" not in published[0]
    who = ("--role", "workspace_owner", "--domain-id", "domain-1", "--workspace-id", "workspace-1")
    run(monkeypatch, "token", "issue", "--private-key", private, *who, "--expires", "30d")
    assert capsys.readouterr().out.count(".") == 2


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("issue", "--role", "EMPEROR", "--domain-id", "d"), 2, "--role EMPEROR does not exist"),
        (("issue", "--role", "DOMAIN_ADMIN", "--domain-id", "d", "--private-key", "absent.json"), 1, "keygen"),
        (("issue", "--role", "DOMAIN_ADMIN", "--domain-id", "d", "--expires", "soon"), 1, "Cannot read key.json"),
        (("keygen", "--algorithm", "HS256"), 2, "--algorithm HS256 is not supported"),
        (("keygen", "--private-key", "no/such/folder/key.json"), 1, "Cannot write no/such"),
    ],
)
def test_errors_are_one_line(
    arguments: tuple[str, ...],
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["event-service", "token", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert said in shown


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("12h", 43200), ("2w", 1209600)])
def test_duration(text: str, seconds: int) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "1y", "1.5h"])
def test_invalid_duration_is_refused(text: str) -> None:
    with pytest.raises(Failure):
        parse_age(text)
