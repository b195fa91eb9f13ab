"""What `event-service db` does to a database: looks at it, migrates it, spreads it, backs it up and restores it."""
