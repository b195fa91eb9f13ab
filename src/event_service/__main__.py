"""`python -m event_service` and the `event-service` command."""

from event_service.imports import without_collecting


def main() -> None:
    """Runs the command line; `cli.main` says how it ends."""
    with without_collecting():
        from event_service.cli import main as command_line  # noqa: PLC0415 - only so it is cheap
    command_line()


if __name__ == "__main__":
    main()
