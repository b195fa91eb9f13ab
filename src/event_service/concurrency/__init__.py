"""ThreadPool, group commit and shared look-ups: tools that know nothing of events."""
