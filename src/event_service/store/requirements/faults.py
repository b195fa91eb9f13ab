"""Errors for a database that does not meet the requirements: the problem and the advice."""

from event_service.errors import Unavailable
from event_service.store.client import DatabaseSettingsError


class UnsuitableDatabase(DatabaseSettingsError):
    """The database cannot be used until it or the settings are changed. Waiting does not help.

    Args:
        problem: what is wrong, without a full stop.
        advice: what to do, an imperative without a full stop.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem}: {advice}")
        self.problem = problem
        self.advice = advice


class DatabaseNotReady(Unavailable):
    """The database cannot be used at present: during an election, a start or an initial sync. Waiting may help.

    Args:
        problem, advice: as of `UnsuitableDatabase`.
    """

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem}: {advice}")
        self.problem = problem
        self.advice = advice
