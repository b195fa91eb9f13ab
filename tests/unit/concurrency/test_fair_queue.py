"""The fair queue: keys in turn, each in its order, in proportion to cost."""

from collections import defaultdict, deque

from hypothesis import given
from hypothesis import strategies as st

from event_service.concurrency.fair_queue import FairQueue

KEYS = "abc"


def drain(queue: FairQueue[str, int], number: int = 1000) -> list[tuple[str, int]]:
    return [found for _ in range(number) if (found := queue.get()) is not None]


def test_keys_take_turns() -> None:
    queue: FairQueue[str, int] = FairQueue()
    for key, number in [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)]:
        queue.put(key, number)
    assert queue
    assert [number for _, number in drain(queue)] == [1, 4, 5, 2, 6, 3]
    assert not queue


def test_a_new_key_comes_next_and_is_owed_nothing() -> None:
    queue: FairQueue[str, int] = FairQueue()
    for number in range(100):
        queue.put("hog", number)
    drain(queue, 50)
    for number in range(10):
        queue.put("new", number)
    assert [key for key, _ in drain(queue, 6)].count("new") == 3


def test_costs_are_shared_and_not_items() -> None:
    queue: FairQueue[str, int] = FairQueue()
    for number in range(30):
        queue.put("large", number, 10.0)
        queue.put("small", number)
    assert [key for key, _ in drain(queue, 33)].count("small") == 30


def test_item_that_is_put_back_comes_first_of_its_key_and_pays_again() -> None:
    queue: FairQueue[str, int] = FairQueue()
    queue.put("a", 1, 5.0)
    queue.put("a", 2, 5.0)
    for number in range(3, 8):
        queue.put("b", number)
    assert queue.get() == ("a", 1)
    queue.put_back("a", 1, 5.0)
    assert [number for _, number in drain(queue)] == [3, 4, 5, 6, 7, 1, 2]


def test_keys_that_are_not_allowed_keep_their_turn() -> None:
    queue: FairQueue[str, int] = FairQueue()
    for key, number in [("a", 1), ("b", 2), ("a", 3)]:
        queue.put(key, number)
    assert queue.get(lambda key: key == "c") is None
    assert queue.get(lambda key: key == "b") == ("b", 2)
    assert queue.peek() == 1
    assert drain(queue) == [("a", 1), ("a", 3)]


Steps = st.lists(st.one_of(st.tuples(st.sampled_from(KEYS), st.integers(1, 10)), st.none()), max_size=200)


@given(Steps)
def test_against_a_model(steps: Steps) -> None:  # type: ignore[valid-type]
    """Nothing is lost, each key keeps its order, and keys that wait all the time are served alike."""
    queue: FairQueue[str, tuple[int, int]] = FairQueue()
    model: dict[str, deque[tuple[int, int]]] = defaultdict(deque)
    # For each pair: what each was served since both have been waiting.
    served: dict[tuple[str, str], list[int]] = {}
    for number, step in enumerate([*steps, *[None] * len(steps)]):
        if step is not None:
            key, cost = step
            queue.put(key, (number, cost), float(cost))
            model[key].append((number, cost))
        else:
            found = queue.get()
            assert (found is None) == (not any(model.values()))
            if found is None:
                continue
            key, (_, cost) = found
            assert model[key].popleft() == found[1]
            for pair, both in served.items():
                if key in pair:
                    both[pair.index(key)] += cost
                    # The bound of the algorithm: the largest cost of each.
                    assert abs(both[0] - both[1]) <= 20
        waiting = [key for key in KEYS if model[key]]
        served = {(one, other): served.get((one, other), [0, 0]) for one in waiting for other in waiting if one < other}
    assert not queue
