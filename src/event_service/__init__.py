"""event-service: SpaceONE's monitoring Event API and Cloud Eye's event reporting in one process."""
