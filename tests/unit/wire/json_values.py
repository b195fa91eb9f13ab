"""Hypothesis strategies for payloads."""

from hypothesis import strategies as st

characters = st.characters(codec="utf-8")
texts = st.text(characters, max_size=20) | st.sampled_from(["", "\x00", "a.b", "$where", "_id", "키", "x" * 200])
numbers = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**64)
    | st.sampled_from([0, -0.0, 0.0, 2**53, 2**53 + 1, -(2**53), 1e308, 5e-324, 10**300])
)
scalars = st.none() | st.booleans() | texts | numbers
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5), max_leaves=30
)
objects = st.dictionaries(texts, values, max_size=8)
