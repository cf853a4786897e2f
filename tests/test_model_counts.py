"""Two thousand rows against a model server that counts: what is sent of them, and what bad answers cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.model_asking import ANSWER, SCHEMA, Asking, row, tally_of
from tests.model_server import ModelServer, Script

ROWS = 2000


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(Script(answer=ANSWER)) as running:
        yield running


def test_only_what_was_never_asked_is_sent(server: ModelServer, tmp_path: Path) -> None:
    asking = Asking(tmp_path, server.url, ROWS)
    assert asking.sent(server) == ROWS
    counts = server.counts()
    assert (counts["distinct"], 32 <= counts["max_in_flight"] <= 64) == (ROWS, True)
    records = asking.records()
    assert [record["text"] for record in records] == [f"Answer: {each['text']}" for each in asking.rows]

    assert asking.sent(server) == 0
    assert asking.records() == records
    asking.rows.append(row(10_000))
    assert asking.sent(server) == 1
    asking.rows.insert(0, row(20_000))
    assert asking.sent(server) == 1
    assert asking.records()[1:-1] == records
    asking.rows = asking.rows[1:-1]

    for step, more in (
        ("concurrency: 7", ""),
        ("timeout: 7s", ""),
        ("concurrency: 64", "      attempts: 7\n"),
    ):
        asking.workflow(step, more)
        assert asking.sent(server) == 0, (step, more)
        assert asking.records() == records


def test_a_tighter_schema_sends_nothing_for_answers_that_still_pass_and_goes_on_with_the_others(
    server: ModelServer, tmp_path: Path
) -> None:
    asking = Asking(tmp_path, server.url, ROWS)
    asking.run()
    before = asking.records()
    passing = {each["i"] for each in asking.items() if before[each["i"]]["score"] >= 0.3}
    assert ROWS // 2 < len(passing) < ROWS
    asking.schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "score": {"type": "number", "minimum": 0.3}}}
    asking.workflow(more="      attempts: 30\n")
    sent = asking.sent(server)
    assert {each["i"] for each in asking.items() if each["calls"] == 0} == passing
    assert sent == sum(each["calls"] for each in asking.items()) >= ROWS - len(passing)
    records = asking.records()
    assert all(record["score"] >= 0.3 for record in records)
    assert [records[i] for i in sorted(passing)] == [before[i] for i in sorted(passing)]
    assert asking.sent(server) == 0


def tokens(counts: dict[str, Any]) -> int:
    """All tokens that a server has counted."""
    return int(counts["input_tokens"] + counts["output_tokens"])


def test_bad_answers_lose_no_row_and_cost_at_most_two_fifths_more(server: ModelServer, tmp_path: Path) -> None:
    text = "It is about the order of last week, which came with the wrong colour and a part missing. " * 4
    rows = [row(number, text=f"{number}: {text}") for number in range(ROWS)]
    clean = Asking(tmp_path / "clean", server.url, ROWS)
    clean.rows = rows
    clean.workflow(more="      params: {max_tokens: 200}\n")
    clean.sent(server)
    fewest = tokens(server.counts())
    with ModelServer(Script(answer=ANSWER, invalid=0.1, truncated=0.05)) as worse:
        asking = Asking(tmp_path / "bad", worse.url, ROWS)
        asking.rows = rows
        asking.workflow(more="      params: {max_tokens: 200}\n")
        tally = tally_of(asking.run(), "ask")
        counts = worse.counts()
    assert min(counts["kinds"]["invalid"], counts["kinds"]["truncated"] * 2) > ROWS // 12
    assert tokens(counts) <= 1.4 * fewest
    assert tally.total == ROWS == tally.accepted + tally.rejected
    assert tally.accepted > ROWS * 0.97
    assert sorted(each["i"] for each in asking.items()) == list(range(ROWS))
