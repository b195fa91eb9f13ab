"""Strategies of invalid requests, for property tests."""

from typing import Any

from hypothesis import strategies as st

NAMES = (
    "event_id", "title", "severity", "resources", "resource", "resources.0", "created_at", "occurred_at", "raw_data",
    "additional_info", "raw_data.n", "additional_info.items.name", "user_projects", "_id", "id", "alert", "nofield",
    "title.x", "", ".", "raw_data.", "a..b", "$where", "raw_data.$x", "$$ROOT", "__raw__", "title__contains",
    "raw_data.a__gt", "_cls", "a\0b", "\ud800", "domain_id", "wire", "-created_at", "+title", "--", "_absent", "k0",
    "s", "x" * 2000, ".".join(["raw_data"] * 200), "access_key", "webhook_url", "tags.x", "requests.total",
    "plugin_info",
)  # fmt: skip

OPERATORS = (
    "eq", "not", "lt", "lte", "gt", "gte", "exists", "contain", "not_contain", "in", "not_in", "contain_in",
    "not_contain_in", "match", "regex", "regex_in", "datetime_gt", "datetime_lte", "timediff_gt", "timediff_lt",
    "count", "sum", "average", "max", "min", "first", "last", "push", "add_to_set", "merge_objects", "size",
    "array_to_object", "object_to_array", "$where", "$function", "", "EQ", "bogus",
)  # fmt: skip

TEXTS = (
    "", "cpu", "$title", "$$ROOT", "{$gt: 1}", "now", "now/d-1w", "now-99999999999999999d", "2025-01-01", "2025-W01",
    "0001-01-01T00:00:00+14:00", "9999-12-31T24:00:00", "24:00", "10", "99999999999999999999", "NaN", "(a+)+$", "[",
    ".*", "\\d+", "(?i)x", "a{1,5}", "\0", "\ud83d", "%Y", "%", "%q", "year", "%b %B", "\u200b", "ﬀ", "İ", "x" * 5000,
)  # fmt: skip

NUMBERS = (0, 1, -1, 2**31, 2**32, 2**63, 2**64, -(2**70), 10**400, 1e308, -1e308, 0.5, float("nan"), float("inf"))

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(NUMBERS),
    st.sampled_from(TEXTS),
    st.sampled_from(NAMES),
    st.text(max_size=8),
)

VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([*NAMES, "$gt", "$in", "$where", "if", "then", "else", "__eq", "k"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


def nested(depth: int) -> Any:
    """Return a list nested in lists."""
    value: Any = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


DEEP = st.sampled_from([nested(70), nested(150), nested(400)])

ANYTHING = st.one_of(VALUES, VALUES, DEEP)

NAME = st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), ANYTHING)
OPERATOR = st.one_of(st.sampled_from(OPERATORS), st.sampled_from(OPERATORS), ANYTHING)


def record(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return an object with some of the members, sometimes another value."""
    return st.one_of(st.fixed_dictionaries({}, optional=members), st.fixed_dictionaries(members), ANYTHING)


def some(member: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return a short list, sometimes another value."""
    return st.one_of(st.lists(member, max_size=3), ANYTHING)


FILTER = record(k=NAME, v=ANYTHING, o=OPERATOR)
FILTERS = some(FILTER)
PAGE = record(start=ANYTHING, limit=ANYTHING)
UNWIND = record(path=NAME, filter=FILTERS)

LIST_QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "filter": FILTERS,
        "filter_or": FILTERS,
        "keyword": ANYTHING,
        "sort": some(record(key=NAME, desc=ANYTHING)),
        "page": PAGE,
        "only": some(NAME),
        "minimal": ANYTHING,
        "count_only": ANYTHING,
        "unwind": UNWIND,
        "lookup": ANYTHING,
        "add_fields": ANYTHING,
    },
)

GROUP = record(
    keys=some(record(k=NAME, n=NAME, date_format=st.one_of(st.sampled_from(TEXTS), ANYTHING))),
    fields=some(
        record(
            k=NAME,
            n=NAME,
            o=OPERATOR,
            fields=some(record(k=NAME, n=NAME)),
            conditions=some(record(k=NAME, v=ANYTHING, o=OPERATOR)),
        )
    ),
)
STAGES = st.one_of(
    st.fixed_dictionaries({"group": GROUP}),
    st.fixed_dictionaries({"unwind": UNWIND}),
    st.fixed_dictionaries({"count": record(name=NAME)}),
    st.fixed_dictionaries({"sort": some(record(key=NAME, desc=ANYTHING))}),
    st.fixed_dictionaries({"project": record(fields=some(record(k=NAME, n=NAME, o=OPERATOR)), exclude_keys=ANYTHING)}),
    st.fixed_dictionaries({"limit": ANYTHING}),
    st.fixed_dictionaries({"skip": ANYTHING}),
    ANYTHING,
)
STAT_QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "filter": FILTERS,
        "filter_or": FILTERS,
        "keyword": ANYTHING,
        "aggregate": some(STAGES),
        "distinct": NAME,
        "page": PAGE,
    },
)
