"""The log of a run: every end once, in the order of the ends, whatever befell the file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.core.routing import Choice
from penstock.core.states import StepState
from penstock.core.work import Attempt, Outcome, Task, Verdict
from penstock.store.journal import NO_ITEM, Journal
from penstock.store.layout import Layout
from penstock.store.logs import RunLog, stamp
from tests.doubles import TickingClock, begin, ended, item, take


class Room:
    """A run of the steps `a`, `b` and `c`, its log, and beside it a second run that writes to the same journal."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.layout.make()
        self.journal = Journal(self.layout.journal, TickingClock())
        self.run_no, self.steps = begin(self.journal, self.layout, "a", "b", "c")
        self.other_no, self.others = begin(self.journal, self.layout, "a", run_id="r2")
        self.path = self.layout.run("r1").log
        self.log = self.open()
        self._rows = 0

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()
        self.journal.close()

    def open(self) -> RunLog:
        return RunLog(self.journal, self.run_no, "r1", self.path)

    def reopen(self) -> None:
        self.log.close()
        self.log = self.open()

    def item(
        self, step: str = "a", verdict: Verdict = Verdict.ACCEPTED, choice: Choice | None = None, **told: Any
    ) -> int:
        """A row of the step ends; its index."""
        index, self._rows = self._rows, self._rows + 1
        task = take(self.journal, self.steps[step], item(index), step_id=step)
        outcome = replace(ended(task, verdict, **told), choice=choice)
        self.journal.commit(self.run_no, self.steps[step], outcome, None, None)
        return index

    def single(self, step: str, outcome: Outcome | None = None) -> None:
        """The task of a step without items ends."""
        number = self.journal.start_task(self.steps[step], NO_ITEM, 0, 1, False)
        task = Task("r1", step, number, None)
        self.journal.commit(self.run_no, self.steps[step], outcome or ended(task), None, None)

    def end(self, step: str, state: StepState = StepState.SUCCEEDED, reason: str | None = None) -> None:
        summary = {"total": 3, "accepted": 3, "rejected": 0, "failed": 0, "skipped": 0, "cost": None}
        self.journal.end_step(self.steps[step], state, reason, summary, 3)

    def of_another_run(self) -> None:
        index, self._rows = self._rows, self._rows + 1
        task = take(self.journal, self.others["a"], item(index))
        self.journal.commit(self.other_no, self.others["a"], ended(task), None, None)

    def lines(self) -> list[dict[str, Any]]:
        self.log.advance()
        *whole, rest = self.path.read_bytes().split(b"\n")
        assert rest == b""
        return [json.loads(line) for line in whole]

    def subjects(self) -> list[str]:
        """`a:3` for row 3 of step a, `a` for its end."""
        return [line["step"] if line["i"] is None else f"{line['step']}:{line['i']}" for line in self.lines()]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with Room(tmp_path) as made:
        yield made


def test_a_failed_item_says_why_and_what_its_command_said_last(room: Room) -> None:
    room.item(verdict=Verdict.FAILED, kind="exit", reason="exit status 3", stderr="Traceback …\nKeyError: 'x'")
    (line,) = room.lines()
    assert line == {
        "ts": line["ts"],
        "run": "r1",
        "step": "a",
        "i": 0,
        "key": item(0).key,
        "input_hash": item(0).digest.hex(),
        "attempt": 1,
        "latency_ms": 250.0,
        "cost": None,
        "verdict": "failed",
        "reason": "exit status 3",
        "error": {"kind": "exit", "stderr": "Traceback …\nKeyError: 'x'"},
    }
    assert list(line)[:10] == [
        "ts",
        "run",
        "step",
        "i",
        "key",
        "input_hash",
        "attempt",
        "latency_ms",
        "cost",
        "verdict",
    ]


def test_an_accepted_item_has_no_word_of_an_error(room: Room) -> None:
    room.item()
    assert {"reason", "error", "cached"} & set(room.lines()[0]) == set()


def test_a_step_with_items_tells_its_accounting_when_it_ends(room: Room) -> None:
    room.item()
    room.end("a", StepState.FAILED, "2 of 3 items failed (0 allowed)")
    end = room.lines()[-1]
    assert (end["verdict"], end["reason"], end["i"]) == ("failed", "2 of 3 items failed (0 allowed)", None)
    assert {name: end[name] for name in ("total", "accepted", "failed")} == {"total": 3, "accepted": 3, "failed": 0}


def test_a_step_without_items_is_one_line_with_its_attempt_and_its_error(room: Room) -> None:
    attempt = Attempt(2, 1.0, 1.5, "timeout", "its time was up after 1 s", "last words")
    number = room.journal.start_task(room.steps["b"], NO_ITEM, 0, 1, False)
    outcome = Outcome(Task("r1", "b", number, None), Verdict.FAILED, (attempt,), None, attempt.reason)
    room.journal.commit(room.run_no, room.steps["b"], outcome, None, None)
    room.end("b", StepState.FAILED, attempt.reason)
    (line,) = room.lines()
    assert (line["step"], line["attempt"], line["latency_ms"], line["verdict"]) == ("b", 2, 1500.0, "failed")
    assert line["error"] == {"kind": "timeout", "stderr": "last words"}
    assert "total" not in line


def test_a_row_that_was_routed_says_where_by_which_rule_and_why(room: Room) -> None:
    for choice in (Choice(2, "legal", 'item.topic="한" → true'), Choice(1, None, "it has no condition"), None):
        room.item(choice=choice)
    first, second, third = room.lines()
    assert first["route"] == {"rule": 2, "to": "legal", "why": 'item.topic="한" → true'}
    assert second["route"] == {"rule": 1, "to": None, "why": "it has no condition"}
    assert "route" not in third


def test_a_step_without_items_that_chose_a_model_says_by_which_rule(room: Room) -> None:
    number = room.journal.start_task(room.steps["a"], NO_ITEM, 0, 1, False)
    made = ended(Task("r1", "a", number, None))
    outcome = replace(made, choice=Choice(1, None, "2 > 1 → true", local=True))
    room.journal.commit(room.run_no, room.steps["a"], outcome, None, None)
    room.end("a")
    assert [line["route"] for line in room.lines()] == [{"rule": 1, "to": None, "why": "2 > 1 → true"}]


def test_what_was_reused_says_cached(room: Room) -> None:
    task = take(room.journal, room.steps["a"], item(7))
    outcome = Outcome(task, Verdict.ACCEPTED, (), None, "reused from run r0")
    room.journal.commit(room.run_no, room.steps["a"], outcome, b"f", 1)
    (line,) = room.lines()
    assert (line["cached"], line["attempt"], line["reason"]) == (True, 0, "reused from run r0")


def test_words_in_any_script_and_broken_ones_make_one_line_each(room: Room) -> None:
    room.item(verdict=Verdict.FAILED, kind="exit", reason="한국어\u2028\n\udc80", stderr="")
    room.item()
    assert [line["i"] for line in room.lines()] == [0, 1]
    assert room.path.read_bytes().count(b"\n") == 2


def test_items_and_ends_stand_in_the_order_in_which_they_were_committed(room: Room) -> None:
    room.item("a")
    room.item("b")
    room.of_another_run()
    room.end("a")
    room.end("c", StepState.SKIPPED, "its need was skipped")
    room.item("b")
    room.end("b")
    assert room.subjects() == ["a:0", "b:1", "a", "c", "b:3", "b"]


def test_more_lines_than_a_page_keep_their_order(room: Room) -> None:
    expected = []
    with room.journal.together():
        for number in range(1600):
            expected.append(f"a:{room.item('a')}")
            if number == 511:
                room.end("b")
                expected.append("b")
            if number == 1023:
                room.end("c")
                expected.append("c")
    room.end("a")
    assert room.subjects() == [*expected, "a"]


moves = st.sampled_from(
    ["item", "item", "item", "other", "single", "end", "advance", "advance", "die", "die", "gone", "shorter", "longer"]
)


@given(st.lists(moves, max_size=30))
@settings(max_examples=70, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_line_is_lost_or_told_twice_wherever_the_process_died(events: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, Room(Path(folder)) as room:
        expected: list[str] = []
        steps = ["a", "b", "c"]
        for event in events:
            match event:
                case "item":
                    expected.append(f"a:{room.item()}")
                case "other":
                    room.of_another_run()
                case "single" if "b" in steps:
                    steps.remove("b")
                    room.single("b")
                    room.end("b")
                    expected.append("b")
                case "end" if "c" in steps:
                    steps.remove("c")
                    room.end("c")
                    expected.append("c")
                case "advance":
                    assert room.subjects() == expected
                case "die" | "gone" | "shorter" | "longer":
                    befall(room, event)
        assert room.subjects() == expected


def befall(room: Room, what: str) -> None:
    """The process dies; the file is as it left it, or worse."""
    room.log.close()
    if what == "gone":
        room.path.unlink()
    elif what == "shorter":
        room.path.write_bytes(room.path.read_bytes()[:-3])
    elif what == "longer":
        room.path.write_bytes(room.path.read_bytes() + b'{"ts": "20')
    room.log = room.open()


def test_a_log_that_is_written_anew_equals_the_one_that_grew(room: Room) -> None:
    for number in range(40):
        room.item("ab"[number % 2], verdict=list(Verdict)[number % 4])
        if number % 7 == 0:
            room.log.advance()
            room.reopen()
    room.end("b", StepState.FAILED, "x")
    room.single("c")
    room.end("c")
    room.log.advance()
    grown = room.path.read_bytes()
    room.log.close()
    room.path.unlink()
    room.log = room.open()
    room.log.advance()
    assert room.path.read_bytes() == grown
    assert grown.count(b"\n") == 42


def test_a_time_is_utc_with_milliseconds() -> None:
    assert stamp(1_700_000_000.0625) == "2023-11-14T22:13:20.062Z"


def test_a_step_that_was_opened_again_has_both_its_ends_in_a_log_that_is_written_anew(room: Room) -> None:
    room.item(verdict=Verdict.FAILED)
    room.end("a", StepState.FAILED, "1 of 1 items failed (0 allowed)")
    room.item()
    room.end("a")
    assert room.subjects() == ["a:0", "a", "a:1", "a"]
    grown = room.path.read_bytes()
    befall(room, "gone")
    room.log.advance()
    assert room.path.read_bytes() == grown
    assert [line["verdict"] for line in room.lines() if line["i"] is None] == ["failed", "succeeded"]
