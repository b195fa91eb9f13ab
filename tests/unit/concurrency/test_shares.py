"""Shares: one key takes half, and what it leaves is for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_service.concurrency.shares import Shares


def fill(shares: Shares, key: str) -> int:
    """Return how many units a key gets."""
    taken = 0
    while shares.fits(key):
        shares.take(key)
        taken += 1
    return taken


@pytest.mark.parametrize("most", [1, 2, 8, 32])
def test_one_key_alone_gets_half(most: int) -> None:
    assert fill(Shares(2 * most), "a") == most


def test_the_next_key_gets_half_of_what_is_left() -> None:
    shares = Shares(64)
    assert [fill(shares, key) for key in "abcd"] == [32, 16, 8, 4]
    shares.give_back("a", 32)
    assert fill(shares, "a") == 18
    assert shares.used == sum(shares.held.values()) == 46


def test_keys_that_hold_nothing_are_forgotten() -> None:
    shares = Shares(4)
    with shares.taken("a"):
        assert shares.held == {"a": 1}
    shares.take("b", 0)
    shares.give_back("b", 0)
    assert (shares.held, shares.used) == ({}, 0)


@given(st.integers(2, 200), st.lists(st.sampled_from("abcde"), max_size=300))
def test_whoever_takes_leaves_as_much_as_it_holds(total: int, takers: list[str]) -> None:
    shares = Shares(total)
    for key in takers:
        if shares.fits(key):
            shares.take(key)
            assert shares.held[key] <= total - shares.used + 1
    assert shares.used == sum(shares.held.values()) <= total


def test_shares_become_equal_as_units_are_given_back() -> None:
    shares = Shares(16)
    assert [fill(shares, "a"), fill(shares, "b")] == [8, 4]
    for _ in range(4):
        shares.give_back("a")
        fill(shares, "b")
    fill(shares, "a")
    assert sorted(shares.held.values()) == [5, 6]
