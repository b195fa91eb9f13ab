"""Become mongod, and die with the parent process. A script of its own, run as

    python -I -S child.py PARENT_PID COMMAND...

Setting the death signal between fork and exec would run Python in the forked child of a program full of threads; here
it happens in a fresh process, before that becomes mongod. Only Linux has the signal; elsewhere mongod.lock
finds an orphan at the next start.
"""

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel for SIGKILL when the parent's starting thread ends, and execute the command.

    SIGKILL, because nothing else is certain, and because everything that was acknowledged is in the journal.
    """
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - 10 ms that other systems need not wait

        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it died before the signal was set
        sys.exit("the parent process is gone")
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
