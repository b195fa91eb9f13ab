"""Errors about a database that is not fit for this service: what is wrong, and what to do about it."""

from event_service.errors import Unavailable
from event_service.store.client import DatabaseSettingsError


class UnsuitableDatabase(DatabaseSettingsError):
    """The database cannot be used until somebody changes it or the settings. Waiting does not help.

    Args:
        problem: what is wrong, without a full stop.
        advice: what to do, an imperative without a full stop.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem}: {advice}")
        self.problem = problem
        self.advice = advice


class DatabaseNotReady(Unavailable):
    """The database cannot be used now, and may become usable by itself: an election, a start, an initial sync.

    Args:
        problem, advice: as of `UnsuitableDatabase`.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem}: {advice}")
        self.problem = problem
        self.advice = advice
