"""Downloads the Debian packages of debian_packages.txt and unpacks them below .tools: `make test-tools`.

Nothing is installed and no root is needed: apt works on lists and caches of its own below .tools/apt, and the
packages, with what they depend on and this machine lacks, are unpacked to .tools/debian. For every program named in a
package's bin directories .tools/bin gets a starter that sets the library path, and .tools/fonts.conf names the
unpacked fonts: a browser without any font ends. On a machine without apt, or where the packages cannot be had, this
says so and ends well: the tests that need them are then listed as skipped.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = Path(__file__).with_name("debian_packages.txt")
TOOLS = ROOT / ".tools"
DEBIAN = TOOLS / "debian"
STARTERS = TOOLS / "bin"
FONTS = TOOLS / "fonts.conf"


def wanted() -> list[str]:
    """Return the package names of debian_packages.txt."""
    lines = (line.split("#", 1)[0].split() for line in PACKAGES.read_text().splitlines())
    return [words[0] for words in lines if words]


def apt(state: Path, *arguments: str) -> None:
    """Run apt-get as the current user, with its lists and downloads below `state`."""
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State::Lists": state / "lists",
        "Dir::Cache": state,
        "Dir::Cache::Archives": state / "archives",
        "Acquire::Languages": "none",
        # Only reads what is installed; without it apt wants the lock that root alone can have.
        "Debug::NoLocking": "1",
        # Root would hand the download to another user, who may not write here.
        "APT::Sandbox::User": "root",
    }
    given = [f"-o{name}={value}" for name, value in options.items()]
    subprocess.run(["apt-get", "--quiet=2", "--yes", *given, *arguments], check=True, stdin=subprocess.DEVNULL)


def can_unpack() -> bool:
    """Return whether this machine has the programs that download and unpack Debian packages."""
    return bool(shutil.which("apt-get") and shutil.which("dpkg-deb"))


def unpack(packages: list[str], state: Path, target: Path) -> None:
    """Download packages with what they depend on and this machine lacks, and unpack them to `target`, emptied before.

    Raises:
        subprocess.CalledProcessError: apt-get cannot have them. `target` is as it was.
    """
    shutil.rmtree(state / "archives", ignore_errors=True)
    apt(state, "update")
    apt(state, "install", "--download-only", "--no-install-recommends", "--reinstall", *packages)
    shutil.rmtree(target, ignore_errors=True)
    for archive in sorted((state / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", archive, target], check=True)


def library_path(unpacked: Path) -> str:
    """Return a value of LD_LIBRARY_PATH: every folder of the unpacked packages that holds a shared library."""
    return ":".join(sorted({str(path.parent) for path in unpacked.rglob("lib*.so*") if path.is_file()}))


def write_starter(starter: Path, program: Path, libraries: str) -> None:
    """Write a script that runs a program with `libraries` before any LD_LIBRARY_PATH it is given."""
    path = f"{shlex.quote(libraries)}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
    starter.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={path} exec {shlex.quote(str(program))} "$@"\n')
    starter.chmod(0o755)


def write_starters() -> list[str]:
    """Return one script per unpacked program, which runs it against the unpacked libraries. Returns their names."""
    shutil.rmtree(STARTERS, ignore_errors=True)
    STARTERS.mkdir(parents=True)
    libraries = library_path(DEBIAN)
    names = []
    for folder in ("usr/bin", "usr/sbin", "bin", "sbin"):
        for program in sorted((DEBIAN / folder).glob("*")):
            starter = STARTERS / program.name
            if starter.exists() or not os.access(program, os.X_OK):
                continue
            write_starter(starter, program, libraries)
            names.append(program.name)
    return names


def write_fonts_configuration() -> None:
    """Write what FONTCONFIG_FILE names: the machine's own configuration where there is one, and the unpacked fonts."""
    lines = (
        '<?xml version="1.0"?>',
        "<!DOCTYPE fontconfig SYSTEM 'fonts.dtd'>",
        "<fontconfig>",
        '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>',
        f"<dir>{escape(str(DEBIAN / 'usr/share/fonts'))}</dir>",
        f"<cachedir>{escape(str(TOOLS / 'fontconfig'))}</cachedir>",
        "</fontconfig>",
    )
    FONTS.write_text("".join(line + "\n" for line in lines))


def main() -> int:
    packages = wanted()
    if not can_unpack():
        print("No apt on this machine: tests that need " + ", ".join(packages) + " are skipped.")
        return 0
    try:
        unpack(packages, TOOLS / "apt", DEBIAN)
    except subprocess.CalledProcessError as error:
        print(f"apt-get ended with status {error.returncode}: tests that need {', '.join(packages)} are skipped.")
        return 0
    write_fonts_configuration()
    print("Unpacked below .tools: " + ", ".join(write_starters()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
