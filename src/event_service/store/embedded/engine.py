"""Which database program runs as the embedded one, and how it is called.

A `mongod` on PATH is preferred. Without one it is SecantusDB (optional extra `embedded`), GPL-2.0 and therefore a
process of its own of which nothing is imported. A data directory stays with the program that made it.

Of the way with mongod only the choice and the command line are tested, with a stand-in; no real mongod has run so.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

SECANTUS = "SecantusDB"
MONGOD = "mongod"

# Cached pages. One batch of writes is one transaction there, and may fill about 7 % of it.
_SECANTUS_CACHE = "512M"
_MONGOD_CACHE_GB = "0.5"


class EmbeddedDatabaseError(Exception):
    """The embedded database cannot be started. The text is one line for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A database program.

    Attributes:
        version: what is written into the data directory, and has to be the same at every later start.
        command: the command line for a directory of files and a port; the directory is one of its words.
        environment: what the program is to see of ours.
    """

    name: str
    version: str
    command: Callable[[Path, int], list[str]]
    environment: dict[str, str]


def choose_engine(made_by: str | None) -> Engine:
    """The program for a data directory.

    Args:
        made_by: name of the program that made the directory; None for a new one.

    Raises:
        EmbeddedDatabaseError: it is not installed.
    """
    mongod = shutil.which("mongod")
    if made_by == MONGOD and mongod is None:
        raise EmbeddedDatabaseError(
            "the data directory was made by mongod, which is not on PATH; "
            "install it, or set EVENT_SERVICE_MONGODB_URI or another EVENT_SERVICE_DATA_DIR"
        )
    if mongod is not None and made_by in (None, MONGOD):
        return _mongod(mongod)
    return _secantus()


def _mongod(program: str) -> Engine:
    """A standalone server is enough: `w: majority` with `j: true` is then its own journal."""
    try:
        text = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedDatabaseError(f"{program} --version does not work: {error}") from None
    found = re.search(r"db version v(\d+\.\d+)", text)
    if found is None:
        raise EmbeddedDatabaseError(f"{program} --version names no version")

    def command(files: Path, port: int) -> list[str]:
        return [
            program, "--dbpath", str(files), "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket",
            "--wiredTigerCacheSizeGB", _MONGOD_CACHE_GB, "--quiet",
        ]  # fmt: skip

    return Engine(MONGOD, found[1], command, dict(os.environ))


def _secantus() -> Engine:
    try:
        version = metadata.version(SECANTUS)
    except metadata.PackageNotFoundError:
        raise EmbeddedDatabaseError(
            "no database: set EVENT_SERVICE_MONGODB_URI, put mongod on PATH, "
            "or install the embedded one with: pip install 'event-service[embedded]'"
        ) from None
    program = _script("secantusd-py")

    def command(files: Path, port: int) -> list[str]:
        # A configuration of our own, empty: otherwise it would pick one up in the working or home directory.
        # Standalone: without change streams nobody reads its oplog, which costs a second copy of every document.
        return [
            sys.executable, str(program), "--config", str(files.with_name("secantusd.toml")), "--host", "127.0.0.1",
            "--port", str(port), "--storage-path", str(files), "--cache-size", _SECANTUS_CACHE, "--standalone",
            "--log-level", "WARNING",
        ]  # fmt: skip

    # Its own variables can switch durability off; Python's could change what it imports. What it loads for geometry,
    # which nobody asks it for, would start a thread for each core: on two cores a fifth of what its start costs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SECANTUS", "PYTHON"))} | {
        "PYTHONUNBUFFERED": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return Engine(SECANTUS, version, command, environment)


def _script(name: str) -> Path:
    folders = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    raise EmbeddedDatabaseError(
        f"{SECANTUS} is installed, but its program {name} is not in {folders[0]}; "
        "install it again with: pip install --force-reinstall 'event-service[embedded]'"
    )
