"""Settings for unit tests."""

from functools import cache
from typing import Any

from event_service.settings import Settings


@cache
def configured(**values: Any) -> Settings:
    """Return settings with these values, whatever the environment's `.env` says.

    Made once, since they cannot be changed: to make them takes as long as many a test.
    """
    return Settings(_env_file=None, **values)
