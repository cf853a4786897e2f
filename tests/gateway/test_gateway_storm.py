"""A small storm on a gateway in this process; `python -m tests.chaos.gateway_storm` makes larger ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.chaos.gateway_storm import storm
from tests.upstream_server import Upstream


def test_nothing_is_reserved_open_or_lost_after_a_storm_of_scripts_that_hang_up_at_any_moment(tmp_path: Path) -> None:
    with Upstream() as upstream:
        after = asyncio.run(storm(tmp_path, upstream.url, calls=600, scripts=64, seed=7))
        sent = len(upstream.seen())
    assert after.left == []
    assert (after.unended, set(after.statuses)) == (0, {200})
    assert after.charged == after.in_journal
    assert 300 < sent <= after.in_journal < 600
