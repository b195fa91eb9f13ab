"""Alertmanager's daemon: `make test` runs the same test."""

from tests.e2e.test_alertmanager import pytestmark, test_firing_and_resolved_are_one_alert_opened_and_resolved  # noqa: F401
