"""When a reply is the recorded one: numbers within a tolerance, rows or lists in any order where the case says so."""

import math
from typing import Any


def same(wanted: Any, got: Any, *, unordered: bool = False) -> bool:
    """Deep equality of JSON; `unordered` lets every list stand in any order."""
    if isinstance(wanted, bool) or isinstance(got, bool):
        return wanted is got
    if isinstance(wanted, int | float) and isinstance(got, int | float):
        return wanted == got or math.isclose(wanted, got, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(wanted, dict) and isinstance(got, dict):
        return wanted.keys() == got.keys() and all(same(wanted[k], got[k], unordered=unordered) for k in wanted)
    if isinstance(wanted, list) and isinstance(got, list):
        if len(wanted) != len(got):
            return False
        if not unordered:
            return all(same(a, b) for a, b in zip(wanted, got, strict=True))
        rest = list(got)
        for value in wanted:
            index = next((i for i, other in enumerate(rest) if same(value, other, unordered=True)), None)
            if index is None:
                return False
            del rest[index]
        return True
    return bool(wanted == got)


def reply_matches(case: dict[str, Any], reply: dict[str, Any]) -> bool:
    """The reply is what the case expects."""
    wanted = case["expect"]["response"]
    if case.get("compare") == "unordered":
        beside = {key: value for key, value in wanted.items() if key != "results"}
        return same(beside, {key: value for key, value in reply.items() if key != "results"}) and same(
            wanted.get("results", []), reply.get("results", []), unordered=True
        )
    return same(wanted, reply, unordered=case.get("compare") == "unordered_lists")
