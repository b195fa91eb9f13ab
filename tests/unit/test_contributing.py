"""CONTRIBUTING.md: its example is applied to a copy of the sources, and its map names files that exist."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
FILE = re.compile(r"`((?:src|tests)/[\w./-]+\.(?:json|py))`:\n\n```\w+\n(.*?)```", re.DOTALL)


def blocks(heading: str, language: str) -> list[str]:
    """Return the code blocks of a numbered step."""
    (step,) = re.findall(rf"^\*\*{heading}(.*?)(?=^\*\*|^`make)", TEXT, re.MULTILINE | re.DOTALL)
    return [code for name, code in BLOCK.findall(step) if name == language]


def insert(path: Path, before: str, added: str) -> None:
    """Insert a text before the only line that begins with `before`."""
    text = path.read_text(encoding="utf-8")
    assert text.count(f"\n{before}") == 1, before
    path.write_text(text.replace(f"\n{before}", f"\n{added}{before}"), encoding="utf-8")


def test_the_worked_example(tmp_path: Path) -> None:
    for folder in ("src", "tests/unit/normalize"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "docs").mkdir()
    for name in ("pyproject.toml", "docs/collectors.md"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    normalize, tests = tmp_path / "src/event_service/normalize", tmp_path / "tests/unit/normalize"

    files = FILE.findall(TEXT)
    assert [Path(name).name for name, _ in files] == ["uptime-kuma-down.json", "uptime-kuma-up.json", "uptime_kuma.py"]
    for name, content in files:
        (tmp_path / name).write_text(content, encoding="utf-8")
    (row,) = blocks("3", "text")
    insert(normalize / "registry.py", '    ParserSpec("native"', row)
    insert(normalize / "registry.py", "    zabbix,", "    uptime_kuma,\n")
    (expected,) = blocks("4", "json")
    path = tests / "payloads" / "expected.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **json.loads(expected)}))
    insert(tests / "test_payloads.py", '    ["zabbix-problem"', '    ["uptime-kuma-down", "uptime-kuma-up"],\n')
    (documented,) = blocks("5", "markdown")
    insert(tmp_path / "docs/collectors.md", "| `sentry`", documented)

    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src")}
    tried = [f"tests/unit/normalize/test_{name}.py" for name in ("payloads", "registry", "docs")]
    commands = (
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:rerunfailures", *tried],
        ["-m", "ruff", "check", "--no-cache", str(normalize)],
        ["-m", "ruff", "format", "--no-cache", "--check", str(normalize)],
    )  # fmt: skip
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        if "pytest" in command:
            passed = re.search(r"(\d+) passed", done.stdout)
            assert passed is not None
            assert int(passed[1]) > 390, done.stdout


def test_map_names_existing_files() -> None:
    section = TEXT.split("\n## Map\n")[1].split("\n## ")[0]
    ways = [re.findall(r"^\|.*\|", way, re.MULTILINE) for way in section.split("**One ")[1:]]
    files = [re.findall(r"`([\w/]+\.py)`", "\n".join(way)) for way in ways]
    assert [len(way) <= 12 for way in files] == [True] * 3
    assert [name for way in files for name in way if not (CHECKOUT / "src/event_service" / name).exists()] == []


def test_links_resolve() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert links
    assert [link for link in links if not (CHECKOUT / link).exists()] == []
