"""The step of `make run` that brings the libraries mongod lacks, on a machine whose mongod and apt are simulated."""

import subprocess
import sys
from pathlib import Path

import debian_packages
import mongod_libraries
import pytest

PROGRAM = """#!/bin/sh
IFS=:
for folder in $LD_LIBRARY_PATH; do
  [ ! -e "$folder/libcurl.so.4" ] || { echo "started with" "$@"; exit 0; }
done
echo "$0: error while loading shared libraries: {library}: cannot open shared object file: No such file" >&2
exit 127
"""
APT = """#!/bin/sh
for word in "$@"; do case "$word" in
  -oDir::Cache::Archives=*) archives="${word#*=}" ;;
  update) exit 0 ;;
esac; done
[ "$word" = libcurl4 ] && touch "$archives/libcurl4.deb"
"""
UNPACK = '#!/bin/sh\nmkdir -p "$3/usr/lib" && touch "$3/usr/lib/libcurl.so.4"\n'


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def mongod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mongod that starts only where a library path has libcurl.so.4, on a machine whose apt has libcurl4 alone."""
    program = tmp_path / "wheel" / "mongod"
    write_program(program, PROGRAM.replace("{library}", "libcurl.so.4"))
    write_program(tmp_path / "bin" / "apt-get", APT)
    write_program(tmp_path / "bin" / "dpkg-deb", UNPACK)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(mongod_libraries, "wheel_program", lambda: program)
    monkeypatch.setattr(mongod_libraries, "FOLDER", tmp_path / "it's" / "mongod")
    monkeypatch.setattr(mongod_libraries, "STARTER", tmp_path / "it's" / "mongod" / "mongod")
    return program


def test_starter_runs_mongod_with_the_unpacked_library(mongod: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mongod_libraries.main() == 0
    assert "libcurl.so.4, which this machine lacks" in capsys.readouterr().out
    done = subprocess.run([mongod_libraries.STARTER, "--dbpath", "a b"], capture_output=True, text=True, check=True)
    assert done.stdout == "started with --dbpath a b\n"


def test_nothing_unpacked_where_mongod_starts(mongod: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mongod_libraries.main() == 0
    (tmp_path / "libcurl.so.4").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert mongod_libraries.main() == 0
    assert not mongod_libraries.FOLDER.exists(), "a starter that is not needed any more was left behind"


def test_library_and_package_named_without_apt(
    mongod: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(debian_packages, "can_unpack", lambda: False)
    assert mongod_libraries.main() == 1
    message = capsys.readouterr().err
    assert message.startswith("mongod cannot start: libcurl.so.4 is missing. Install the package libcurl4, or")
    assert not mongod_libraries.STARTER.exists()


@pytest.mark.parametrize(
    ("library", "advice"),
    [("libssl.so.3", "Install the package libssl3"), ("libunknown.so.1", "Install the package that has it")],
)
def test_library_named_that_apt_cannot_bring(
    mongod: Path, library: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mongod.write_text(PROGRAM.replace("{library}", library))
    assert mongod_libraries.main() == 1
    assert f"{library} is missing. {advice}" in capsys.readouterr().err


@pytest.mark.skipif(
    sys.platform != "linux" or mongod_libraries.wheel_program() is None,
    reason="no wheel has a mongod for this platform",
)
def test_packages_named_for_libraries_of_the_real_mongod() -> None:
    program = mongod_libraries.wheel_program()
    assert program is not None
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    assert set(mongod_libraries.LIBRARY_PACKAGES) <= {line.split()[0] for line in listed.splitlines()}
    assert mongod_libraries.missing_library(program) in ("", *mongod_libraries.LIBRARY_PACKAGES)
