"""Become mongod, and die with the parent process. A script of its own, run as

    python -I -S child.py PARENT_PID COMMAND...

A preexec_fn would run Python in the forked child of a multi-threaded process, which may deadlock; here the death signal
is set in a fresh process. Only Linux has it; elsewhere mongod.lock identifies an orphan at the next start.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGKILL when the parent's starting thread ends, and execute the command.

    SIGKILL ends it for certain, and every acknowledged write is in the journal.
    """
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - 10 ms that only Linux needs

        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the signal was set
        sys.exit("the parent process is gone")
    os.execv(command[0], command)  # noqa: S606 - deliberately without a shell


if __name__ == "__main__":
    main()
