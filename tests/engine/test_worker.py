"""One task, its attempts and the waits between them, with real commands."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from penstock.core.errors import OperatorError
from penstock.core.work import Attempt, Outcome, Task, Verdict
from penstock.core.workflow import Retry, Step
from penstock.engine.worker import carry_out
from penstock.kinds.permits import Permit, Permits
from penstock.kinds.tools import Tools
from penstock.store.layout import RunFolder
from tests.doubles import HERE, MemoryRecorder, TickingClock, item, shell

ALWAYS = Retry(attempts=3, on=("exit", "timeout"), base_s=4.0, cap_s=100.0)


class Bench:
    """Tools that wait by remembering for how long, and a recorder that remembers how often they had waited."""

    def __init__(self, folder: Path) -> None:
        self.waits: list[float] = []
        self.recorder = MemoryRecorder(lambda: len(self.waits))
        run = RunFolder(folder / "run")
        run.make()
        slot = run.slots / "a.1"
        slot.mkdir()
        environment = {b"PATH": b"/usr/bin:/bin"}
        permit = Permit(Permits(1))
        self.tools = Tools(
            self.recorder, TickingClock(), Random(7), self._pause, folder, run, slot, environment, permit
        )

    async def _pause(self, seconds: float) -> None:
        self.waits.append(seconds)

    def carry_out(self, text: str, retry: Retry, spent: int = 0, timeout_s: float | None = None) -> Outcome:
        step = Step("a", shell(text), HERE, retry=retry, timeout_s=timeout_s)
        return asyncio.run(carry_out(Task("r1", "a", 1, item(0), spent=spent), step, self.tools))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def kinds(outcome: Outcome) -> list[tuple[int, str | None]]:
    return [(attempt.number, attempt.kind) for attempt in outcome.attempts]


def test_a_command_is_tried_once_unless_the_step_says_otherwise(bench: Bench) -> None:
    outcome = bench.carry_out("exit 1", Retry())
    assert (outcome.verdict, kinds(outcome)) == (Verdict.FAILED, [(1, "exit")])
    assert bench.recorder.attempts == []


def test_attempts_go_on_until_one_ends_in_an_answer(bench: Bench) -> None:
    outcome = bench.carry_out('test "$PENSTOCK_ATTEMPT" = 2 && echo done', ALWAYS)
    assert (outcome.verdict, kinds(outcome)) == (Verdict.ACCEPTED, [(1, "exit"), (2, None)])


def test_when_all_are_spent_the_outcome_is_that_of_the_last(bench: Bench) -> None:
    outcome = bench.carry_out('exit "$PENSTOCK_ATTEMPT"', ALWAYS)
    assert (outcome.verdict, outcome.reason) == (Verdict.FAILED, "exit status 3")
    assert [attempt.reason for attempt in outcome.attempts] == ["exit status 1", "exit status 2", "exit status 3"]


def test_an_attempt_is_recorded_before_the_wait_and_the_last_one_is_left_to_the_outcome(bench: Bench) -> None:
    bench.carry_out("exit 1", ALWAYS)
    assert [(attempt.number, waits) for attempt, waits in bench.recorder.attempts] == [(1, 0), (2, 1)]


def test_an_attempt_that_cannot_be_recorded_is_not_followed_by_another(bench: Bench) -> None:
    class Full(MemoryRecorder):
        def attempt_ended(self, task: Task, attempt: Attempt) -> None:
            raise OSError(28, "No space left on device")

    bench.tools = replace(bench.tools, recorder=Full())
    with pytest.raises(OSError, match="No space left"):
        bench.carry_out("exit 1", ALWAYS)
    assert bench.waits == []


def test_each_wait_is_drawn_below_a_bound_that_doubles(bench: Bench) -> None:
    bench.carry_out("exit 1", Retry(attempts=5, base_s=4.0, cap_s=10.0))
    drawn = Random(7)
    assert bench.waits == [drawn.random() * bound for bound in (4.0, 8.0, 10.0, 10.0)]


@pytest.mark.parametrize(
    ("text", "on", "attempts"),
    [
        ("exit 1", ("timeout",), 1),
        ("exit 1", ("exit",), 3),
        ("sleep 600", ("exit",), 1),
        ("sleep 600", ("timeout",), 3),
        ("echo '{\"a\": NaN}'", ("exit",), 3),
        ("echo '{\"ok\": false}'; exit 1", ("exit", "timeout"), 1),
        ("kill -KILL $$", ("exit",), 3),
    ],
)
def test_only_the_classes_that_are_named_are_tried_again(
    bench: Bench, text: str, on: tuple[str, ...], attempts: int
) -> None:
    timeout_s = 0.1 if text.startswith("sleep") else None
    outcome = bench.carry_out(text, replace(ALWAYS, on=on), timeout_s=timeout_s)
    assert len(outcome.attempts) == attempts


def test_a_command_that_cannot_be_started_is_not_tried_again(bench: Bench) -> None:
    step = Step("a", replace(shell("true"), interpreter=("no-such-shell",)), HERE, retry=ALWAYS)
    outcome = asyncio.run(carry_out(Task("r1", "a", 1, item(0)), step, bench.tools))
    assert kinds(outcome) == [(1, "start")]


def test_attempts_of_an_earlier_life_count(bench: Bench) -> None:
    outcome = bench.carry_out("exit 1", ALWAYS, spent=1)
    assert kinds(outcome) == [(2, "exit"), (3, "exit")]
    outcome = bench.carry_out("exit 1", ALWAYS, spent=2)
    assert kinds(outcome) == [(3, "exit")]


def test_a_bug_of_ours_is_a_failed_attempt_and_not_tried_again(bench: Bench) -> None:
    row = replace(item(0), text="not bytes")  # type: ignore[arg-type]  # this is the bug
    step = Step("a", shell("true"), HERE, retry=ALWAYS)
    outcome = asyncio.run(carry_out(Task("r1", "a", 1, row), step, bench.tools))
    assert (outcome.verdict, kinds(outcome)) == (Verdict.FAILED, [(1, "error")])
    assert (outcome.reason or "").startswith("TypeError: ")


def test_what_a_person_must_mend_is_raised_and_no_verdict_on_the_item(bench: Bench) -> None:
    (bench.tools.folder / "out").mkdir()
    (bench.tools.folder / "out" / "x").write_text("torn")
    bench.tools.run.failed.write_text("a file where a folder must be")
    step = Step("a", shell("true"), HERE)
    task = Task("r1", "a", 1, item(0), files=("out/x",))
    with pytest.raises((OperatorError, OSError)):
        asyncio.run(carry_out(task, step, bench.tools))
