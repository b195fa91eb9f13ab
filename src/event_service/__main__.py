"""`python -m event_service` and the `event-service` command."""

import os
import signal
import sys

from event_service.imports import without_gc


def main() -> None:
    """Runs the command line; `cli.main` says how it ends."""
    if sys.argv[1:2] != ["serve"]:
        # A client says itself why it cannot connect; gRPC's own lines about it are for its developers.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    heeds_interrupts = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeds_interrupts:  # Ctrl-C just ends it while it imports: nothing has begun that could be left half done
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    with without_gc():
        from event_service.cli import main as command_line  # noqa: PLC0415 - only so it is cheap
    if heeds_interrupts:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command_line()
    finally:
        if heeds_interrupts:  # all is done and closed: nothing of the interpreter's own end is worth a traceback
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
