"""`python -m event_service` and the `event-service` command."""

import os
import signal
import sys

from event_service.imports import without_gc


def main() -> None:
    """Run the command line; `cli.main` documents the exit status."""
    if sys.argv[1:2] != ["serve"]:
        # The command prints why it cannot connect; gRPC's own log lines would repeat it.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    handles_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handles_interrupts:  # Ctrl-C during imports ends the process: there is no work to clean up
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with without_gc():
        from event_service.cli import main as command_line  # noqa: PLC0415 - within without_gc
    if handles_interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command_line()
    finally:
        if handles_interrupts:  # all is closed: an interrupt during the interpreter's exit needs no traceback
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
