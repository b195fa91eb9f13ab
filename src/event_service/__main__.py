"""`python -m event_service` and the `event-service` command."""

from event_service.cli import main

if __name__ == "__main__":
    main()
