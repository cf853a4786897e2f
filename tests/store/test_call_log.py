"""The call log of a run: every call that ended, once, in the order of the ends, whatever befell the file."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.calls import Cost, CostStatus, Fault, FaultClass
from penstock.core.work import Task
from penstock.store.call_log import CallLog, lines
from penstock.store.journal import NO_ITEM
from penstock.store.logs import stamp
from tests.call_room import RATE_LIMIT, UNKNOWN, CallRoom, intent, replay
from tests.doubles import begin, item, take

FIELDS = (
    "ts run step i key attempt send purpose model provider served status cached tokens_in tokens_out cache_read "
    "cache_write cost cost_status wait_ms latency_ms error request"
)


class LogRoom(CallRoom):
    """A run that asks models, its call log, and beside it a second run in the same journal."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = self.layout.run("r1").root / "calls.jsonl"
        self.other_no, self.others = begin(self.journal, self.layout, "a", run_id="r2")
        self.log = self.open()

    def __enter__(self) -> LogRoom:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()
        self.close()

    def open(self) -> CallLog:
        """The log as a new life of the run opens it."""
        return CallLog(self.journal, self.run_no, "r1", self.path)

    def replays(self, count: int) -> list[int]:
        """So many tasks are answered from the cache; their rows."""
        tasks = [self.task() for _ in range(count)]
        for task in tasks:
            self.calls.replayed(replay(intent(task)))
        self.calls.flush_now()
        return [task.index for task in tasks]

    def of_another_run(self) -> None:
        """A task of the other run is answered."""
        other = self.life(1, self.other_no)
        self._rows += 1
        other.replayed(replay(intent(take(self.journal, self.others["a"], item(self._rows)))))
        other.flush_now()

    def lines(self) -> list[dict[str, Any]]:
        """What the log says once it has followed the journal."""
        self.log.advance()
        *whole, rest = self.path.read_bytes().split(b"\n")
        assert rest == b""
        return [json.loads(line) for line in whole]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[LogRoom]:
    with LogRoom(tmp_path) as made:
        yield made


# --- a line ------------------------------------------------------------------------------------


def test_a_call_says_who_was_asked_what_came_back_and_what_it_cost(room: LogRoom) -> None:
    task = room.task("b")
    room.buy(task)
    (line,) = room.lines()
    assert " ".join(line) == FIELDS
    assert task.item is not None
    assert line == {
        "ts": stamp(room.ends()[0]["ended_at"]),
        "run": "r1",
        "step": "b",
        "i": task.index,
        "key": task.item.key,
        "attempt": 1,
        "send": 1,
        "purpose": "answer",
        "model": "small",
        "provider": "openai",
        "served": "gpt-4o-mini",
        "status": 200,
        "cached": False,
        "tokens_in": 100,
        "tokens_out": 50,
        "cache_read": 64,
        "cache_write": 0,
        "cost": 0.000031,
        "cost_status": "exact",
        "wait_ms": 250.0,
        "latency_ms": 500.0,
        "error": None,
        "request": intent(task).key.hex()[:16],
    }


@pytest.mark.parametrize(
    ("micros", "written"),
    [
        (0, "0.0"),
        (1, "0.000001"),
        (31, "0.000031"),
        (54_399, "0.054399"),
        (100_000, "0.1"),
        (2_000_000, "2.0"),
        (10_500_000, "10.5"),
        (None, "null"),
    ],
)
def test_money_is_written_as_dollars_without_an_exponent(room: LogRoom, micros: int | None, written: str) -> None:
    room.buy(room.task(), cost=Cost(micros, CostStatus.EXACT))
    room.log.advance()
    assert f'"cost":{written},' in room.path.read_text()


def test_what_went_wrong_is_told_with_what_was_said(room: LogRoom) -> None:
    room.buy(room.task(), status=429, fault=RATE_LIMIT, served=None, usage=None, cost=UNKNOWN)
    room.buy(room.task(), status=400, fault=Fault(FaultClass.DENIED, '"더" \u2028 \x01'), served=None, usage=None)
    first, second = room.lines()
    assert (first["error"], first["message"], first["cost"], first["served"]) == (
        "rate_limit",
        "slow\ndown",
        None,
        None,
    )
    assert (first["tokens_in"], first["cost_status"]) == (None, "unknown")
    assert (second["error"], second["message"]) == ("denied", '"더" \u2028 \x01')


def test_a_replay_says_cached(room: LogRoom) -> None:
    room.replays(1)
    (line,) = room.lines()
    assert (line["cached"], line["cost"], line["latency_ms"]) == (True, 0.0, 0.0)


def test_a_call_of_a_step_without_items_has_no_row(room: LogRoom) -> None:
    number = room.journal.start_task(room.steps["b"], NO_ITEM, 0, 1, False)
    room.buy(Task("r1", "b", number, None))
    (line,) = room.lines()
    assert (line["step"], line["i"], line["key"]) == ("b", None, None)


def test_a_lost_call_has_its_line_in_the_life_that_finds_it(room: LogRoom) -> None:
    task = room.task()
    asyncio.run(room.calls.intent(intent(task)))
    assert room.lines() == []
    room.life(2).close_lost()
    (line,) = room.lines()
    assert (line["error"], line["cost"], line["cost_status"], line["i"]) == ("lost", None, "unknown", task.index)
    assert (line["latency_ms"], line["wait_ms"], line["cached"]) == (None, None, False)


# --- the file ----------------------------------------------------------------------------------


def test_more_calls_than_a_page_are_there_once_and_in_order(room: LogRoom) -> None:
    with room.journal.together():
        tasks = [room.task() for _ in range(1300)]
    for task in tasks:
        room.calls.replayed(replay(intent(task)))
    room.calls.flush_now()
    assert [line["i"] for line in room.lines()] == [task.index for task in tasks]


def test_a_run_that_asks_nothing_has_an_empty_log(room: LogRoom) -> None:
    room.of_another_run()
    assert room.lines() == []


moves = st.sampled_from(["one", "two", "other", "advance", "advance", "die", "die", "gone", "shorter", "longer"])


@given(st.lists(moves, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_line_is_lost_or_told_twice_wherever_the_process_died(events: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, LogRoom(Path(folder)) as room:
        expected: list[int] = []
        for event in events:
            match event:
                case "one" | "two":
                    expected += room.replays(1 + (event == "two"))
                case "other":
                    room.of_another_run()
                case "advance":
                    assert [line["i"] for line in room.lines()] == expected
                case _:
                    befall(room, event)
        assert [line["i"] for line in room.lines()] == expected
        assert room.path.read_bytes() == b"".join(lines(room.database, room.run_no, "r1"))


def befall(room: LogRoom, what: str) -> None:
    """The process dies; the file is as it left it, or worse."""
    room.log.close()
    if what == "gone":
        room.path.unlink()
    elif what == "shorter":
        room.path.write_bytes(room.path.read_bytes()[:-3])
    elif what == "longer":
        room.path.write_bytes(room.path.read_bytes() + b'{"ts": "20')
    room.log = room.open()
