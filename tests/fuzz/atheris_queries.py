"""Coverage-guided search for queries that are neither parsed nor refused, or that inject operators.

    python -m tests.fuzz.atheris_queries [libFuzzer options] [corpus folder]

The first byte chooses between a list and a statistic of events or webhooks, the rest is the query's JSON.
"""

import json

import atheris

with atheris.instrument_imports(include=["event_service"]):
    from event_service.errors import InvalidArgument
    from event_service.query.fields import EVENT_FIELDS, WEBHOOK_FIELDS
    from event_service.query.list_query import parse_list_query
    from event_service.query.stat_query import parse_stat_query
    from event_service.store.compile import compile_filter, compile_sort
    from event_service.store.compile_list import compile_list_rows
    from event_service.store.compile_stat import compile_stages

from tests.fuzz.atheris_run import fuzz
from tests.unit.store.test_compile_operators import SCOPE, check_filter, check_roots, check_stages


def one_input(data: bytes) -> None:
    """Parse the bytes as a query: it must compile to allowed operators or be refused."""
    if not data:
        return
    try:
        query = json.loads(data[1:])
    except (ValueError, RecursionError):
        return
    fields = WEBHOOK_FIELDS if data[0] & 2 else EVENT_FIELDS
    try:
        if data[0] & 1:
            statistic = parse_stat_query(query, fields)
            where, stages = statistic.where, compile_stages(statistic, fields)
        else:
            listed = parse_list_query(query, {}, fields)
            where, stages = listed.where, compile_list_rows(listed, fields, 10)
            compile_sort(listed.sort, fields)
    except InvalidArgument as error:
        if not error.violations:
            raise AssertionError("the error has no field path") from error
        return
    check_filter(compile_filter(SCOPE, where))
    check_stages(stages)
    check_roots(stages)
    try:
        compile_filter(SCOPE, where)
    except InvalidArgument:
        return


if __name__ == "__main__":
    fuzz(one_input)
