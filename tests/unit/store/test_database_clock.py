"""The clock follows the database's, and neither this machine's nor the round trip."""

from datetime import UTC, datetime, timedelta

import pytest

from event_service.store.database_clock import DatabaseClock

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Machine:
    def __init__(self) -> None:
        self.seconds, self.local = 50.0, NOON
        self.clock = DatabaseClock(monotonic=lambda: self.seconds, local=lambda: self.local)

    def measure(self, server_time: datetime, round_trip: float = 0.01) -> None:
        self.clock.adjust(server_time, self.seconds - round_trip, self.seconds)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_local_time_before_the_first_measurement(machine: Machine) -> None:
    assert (machine.clock(), machine.clock.skew) == (NOON, timedelta())


def test_measured_time_goes_on_by_the_monotonic_clock(machine: Machine) -> None:
    machine.measure(NOON - timedelta(hours=2))
    machine.seconds += 30
    machine.local += timedelta(days=1)  # set while the service runs
    assert abs(machine.clock() - (NOON - timedelta(hours=2) + timedelta(seconds=30))) <= timedelta(seconds=0.01)
    assert machine.clock.skew.total_seconds() == pytest.approx(86_400 + 7200 - 30, abs=0.01)


def test_measurements_that_agree_within_the_round_trip_change_nothing(machine: Machine) -> None:
    machine.measure(NOON)
    before = machine.clock()
    machine.measure(NOON - timedelta(seconds=0.7), round_trip=0.8)
    assert machine.clock() == before
    machine.measure(NOON - timedelta(seconds=0.7), round_trip=0.1)
    assert machine.clock() < before


@pytest.mark.parametrize("ahead", [timedelta(seconds=-45), timedelta(days=3)])
def test_time_of_another_primary_is_taken_over(machine: Machine, ahead: timedelta) -> None:
    machine.measure(NOON)
    machine.measure(NOON + ahead)
    assert abs(machine.clock() - NOON - ahead) <= timedelta(seconds=0.01)
