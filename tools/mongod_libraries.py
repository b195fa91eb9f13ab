"""Unpacks shared libraries that the wheel's mongod needs and this machine lacks: part of `make run` and `make test`.

A minimal Debian has no libcurl.so.4. Nothing is installed and no root is needed: the packages are unpacked below
.tools/mongod, where the starter `mongod` runs the wheel's program with them; the Makefile has that folder on PATH.
Where mongod starts by itself, nothing is done.

Exits with 1 where mongod does not start for a missing library that cannot be had, and says which.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import debian_packages

from event_service.store.embedded.mongod import LIBRARY_PACKAGES, MISSING_LIBRARY

FOLDER = debian_packages.TOOLS / "mongod"
STARTER = FOLDER / "mongod"


def wheel_program() -> Path | None:
    """Return the mongod of the extra `embedded`; None where the platform has no such wheel."""
    spec = importlib.util.find_spec("fiftyone")
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    return next((program for folder in folders if (program := Path(folder) / "db/bin/mongod").exists()), None)


def missing_library(program: Path, *library_paths: str) -> str:
    """Return the first library that keeps the program from starting; "" where none does."""
    searched = ":".join(filter(None, [*library_paths, os.environ.get("LD_LIBRARY_PATH")]))
    environment = {**os.environ, "LC_ALL": "C"} | ({"LD_LIBRARY_PATH": searched} if searched else {})
    done = subprocess.run([program, "--version"], env=environment, capture_output=True, text=True, check=False)
    found = MISSING_LIBRARY.search(done.stderr)
    return found[1] if done.returncode and found else ""


def bring(program: Path, missing: str) -> str:
    """Unpack packages until no library is missing, and write the starter. Returns what cannot be had; "" if all can."""
    packages: list[str] = []
    while missing:
        package = LIBRARY_PACKAGES.get(missing)
        if package is None or package in packages or not debian_packages.can_unpack():
            return missing
        packages.append(package)
        print(f"mongod needs {missing}, which this machine lacks: unpacking {package} below .tools", flush=True)
        try:
            debian_packages.unpack(packages, FOLDER / "apt", FOLDER / "unpacked")
        except subprocess.CalledProcessError:
            return missing
        libraries = debian_packages.library_path(FOLDER / "unpacked")
        missing = missing_library(program, libraries)
    shutil.rmtree(FOLDER / "apt")  # the lists alone are 100 MB
    debian_packages.write_starter(STARTER, program, libraries)
    return ""


def main() -> int:
    program = wheel_program()
    missing = missing_library(program) if program is not None else ""
    if program is None or not missing:
        shutil.rmtree(FOLDER, ignore_errors=True)
        return 0
    if left := bring(program, missing):
        advice = (
            f"Install the package {LIBRARY_PACKAGES[left]}"
            if left in LIBRARY_PACKAGES
            else "Install the package that has it"
        )
        print(f"mongod cannot start: {left} is missing. {advice}, or set EVENT_SERVICE_MONGODB_URI.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
