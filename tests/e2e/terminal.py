"""A command line in a pseudo-terminal."""

import os
import pty
import re
import select
import subprocess
import time

from tests.e2e.service import BIN, clean_environment

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Control sequences for cursor and colours."""

COLOUR = re.compile(r"\x1b\[[0-9;]*[34]\dm|\x1b\[[0-9;]*9[0-7]m")


def in_a_terminal(*arguments: str, status: int = 0, **settings: str) -> str:
    """Return the output of a command in a terminal of 120 columns, with control sequences.

    Args:
        status: what it must end with.
        settings: environment beside this process's own.
    """
    master, slave = pty.openpty()
    environment = clean_environment(**settings) | {"TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(
        [BIN / "event-service", *arguments], env=environment, stdin=slave, stdout=slave, stderr=slave, close_fds=True
    )
    os.close(slave)
    shown, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 0.1)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    try:
        assert process.wait(10) == status, shown
    finally:
        process.kill()
    return shown.decode()


def plain(shown: str) -> str:
    """Return the text without what moves the cursor and colours it."""
    return SEQUENCE.sub("", shown)
