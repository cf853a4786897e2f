"""Strategies for bodies that almost are what a provider sends."""

from __future__ import annotations

import json

from hypothesis import strategies as st

_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["stop", "length"])
)


def statuses() -> st.SearchStrategy[int]:
    """Statuses of HTTP, the common ones more often."""
    return st.sampled_from([200, 400, 401, 404, 413, 422, 429, 500, 529]) | st.integers(100, 599)


def json_bodies(*names: str) -> st.SearchStrategy[bytes]:
    """JSON of any shape whose objects have some of the provider's own field names."""
    keys = st.sampled_from(names) | st.text(max_size=4)
    values = st.recursive(
        _LEAVES, lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(keys, deeper, max_size=4), max_leaves=12
    )
    return st.dictionaries(keys, values, max_size=6).map(lambda value: json.dumps(value).encode())
