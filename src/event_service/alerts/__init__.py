"""Alerts as people see and change them. Events open and resolve them in `events/`."""
