"""docs/api.md says what the contract says, and the contract says something about each of its parts."""

import re
import sys

import api_reference
import pytest


def test_document_matches_the_protos(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["api_reference.py", "--check"])
    assert api_reference.main() == 0, capsys.readouterr().out


def test_stale_document_is_detected(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["api_reference.py", "--check"])
    monkeypatch.setattr(api_reference, "HEADER", "another")
    assert api_reference.main() == 1
    assert "make docs" in capsys.readouterr().out
    monkeypatch.setattr(api_reference, "uncommented", lambda: ["proto/: Some.thing has no comment"])
    assert api_reference.main() == 1
    assert "Some.thing" in capsys.readouterr().out


def test_every_method_is_documented_and_links_resolve() -> None:
    text = api_reference.TARGET.read_text(encoding="utf-8")
    for name in (
        "Event.create",
        "Event.stat",
        "Events.Export",
        "Events.Watch",
        "Ingest.CreateStream",
        "Webhooks.RotateKey",
    ):
        assert f"### {name}\n" in text
    headings = {line.lstrip("# ").replace(".", "").lower() for line in text.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= headings


def test_a_comment_is_a_sentence() -> None:
    text = api_reference.TARGET.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|(?: .* \|)? (.*) \|$", text, re.MULTILINE)
    assert len(rows) > 150
    assert [name for name, about in rows if not about.endswith((".", "`.", ")")) or about[0].isspace()] == []
