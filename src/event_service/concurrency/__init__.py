"""Threads, group commit and shared look-ups, independent of events."""
