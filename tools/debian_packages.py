"""Downloads the Debian packages of debian_packages.txt and unpacks them below .tools: `make test-tools`.

Nothing is installed and no root is needed: apt works on lists and caches of its own below .tools/apt, and the
packages, with what they depend on and this machine lacks, are unpacked to .tools/debian. For every program named in a
package's bin directories .tools/bin gets a starter that sets the library path. On a machine without apt, or where
the packages cannot be had, this says so and ends well: the tests that need them are then listed as skipped.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = Path(__file__).with_name("debian_packages.txt")
TOOLS = ROOT / ".tools"
DEBIAN = TOOLS / "debian"
STARTERS = TOOLS / "bin"


def wanted() -> list[str]:
    """The package names of debian_packages.txt."""
    lines = (line.split("#", 1)[0].split() for line in PACKAGES.read_text().splitlines())
    return [words[0] for words in lines if words]


def apt(*arguments: str) -> None:
    """Runs apt-get on directories of our own, as whoever we are."""
    state = TOOLS / "apt"
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State::Lists": state / "lists",
        "Dir::Cache": state,
        "Dir::Cache::Archives": state / "archives",
        # Only reads what is installed; without it apt wants the lock that root alone can have.
        "Debug::NoLocking": "1",
        # Root would hand the download to another user, who may not write here.
        "APT::Sandbox::User": "root",
    }
    given = [f"-o{name}={value}" for name, value in options.items()]
    subprocess.run(["apt-get", "--quiet=2", "--yes", *given, *arguments], check=True, stdin=subprocess.DEVNULL)


def library_folders() -> list[Path]:
    """Every folder of the unpacked packages that holds a shared library."""
    return sorted({path.parent for path in DEBIAN.rglob("lib*.so*") if path.is_file()})


def write_starters() -> list[str]:
    """One script per unpacked program, which runs it against the unpacked libraries. Returns their names."""
    shutil.rmtree(STARTERS, ignore_errors=True)
    STARTERS.mkdir(parents=True)
    libraries = ":".join(str(folder) for folder in library_folders())
    names = []
    for folder in ("usr/bin", "usr/sbin", "bin", "sbin"):
        for program in sorted((DEBIAN / folder).glob("*")):
            starter = STARTERS / program.name
            if starter.exists() or not os.access(program, os.X_OK):
                continue
            path = f"{shlex.quote(libraries)}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
            starter.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={path} exec {shlex.quote(str(program))} "$@"\n')
            starter.chmod(0o755)
            names.append(program.name)
    return names


def main() -> int:
    packages = wanted()
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        print("No apt on this machine: tests that need " + ", ".join(packages) + " are skipped.")
        return 0
    shutil.rmtree(TOOLS / "apt" / "archives", ignore_errors=True)
    try:
        apt("update")
        apt("install", "--download-only", "--no-install-recommends", "--reinstall", *packages)
    except subprocess.CalledProcessError as error:
        print(f"apt-get ended with status {error.returncode}: tests that need {', '.join(packages)} are skipped.")
        return 0
    shutil.rmtree(DEBIAN, ignore_errors=True)
    for archive in sorted((TOOLS / "apt" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", archive, DEBIAN], check=True)
    print("Unpacked below .tools: " + ", ".join(write_starters()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
