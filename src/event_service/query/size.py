"""Bounds the size of a query, and with it the work to decode, check and compile it."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, TypeVarTuple

from event_service.concurrency.thread_pool import RunInThread

MAX_QUERY_VALUES = 10_000
"""Members of all lists and objects of a query."""

LARGE_QUERY_BYTES = 4096
"""Larger requests are decoded in a thread: they may take more than a few milliseconds."""

_LARGE_QUERY_VALUES = 500

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def parse_query(
    run_in_thread: RunInThread | None,
    parse: Callable[[Mapping[str, object], *Ts], T],
    query: Mapping[str, object],
    *arguments: *Ts,
) -> T:
    """Return `parse(query, *arguments)`. A large query is parsed in a thread, if there is one."""
    if run_in_thread is None or not _is_large(query):
        return parse(query, *arguments)
    return await run_in_thread(parse, query, *arguments)


def _is_large(query: Mapping[str, object]) -> bool:
    containers: list[Any] = [query]
    counted = 0
    for container in containers:  # grows meanwhile
        counted += len(container)
        if counted > _LARGE_QUERY_VALUES:
            return True
        for member in container if type(container) is list else container.values():
            if type(member) is dict or type(member) is list:
                containers.append(member)
    return False
