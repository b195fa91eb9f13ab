"""The operations of `event-service db`: check, migrate, shard, back up and restore."""
