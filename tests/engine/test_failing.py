"""How many items may fail, what becomes of the rest, and rows that need no command."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from penstock.core.states import RunState
from penstock.core.work import Outcome, Task, Verdict
from penstock.core.workflow import FileSource, ListSource, Step, Tolerance
from penstock.store.database import Database
from tests.doubles import HERE, Ground, MemoryListener, ScriptedBackend, ended, flow, rows, shell

UNREAD = "not started: the step had failed before (fail_fast)"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def failing(*indices: int) -> ScriptedBackend:
    """The items at these places fail."""

    def answer(task: Task, step: Step) -> Outcome:
        failed = task.index in indices
        return ended(task, Verdict.FAILED, kind="exit", reason="exit status 1") if failed else ended(task)

    return ScriptedBackend(answer)


def summary(ground: Ground, step_id: str = "a") -> dict[str, object]:
    told: dict[str, object] = json.loads(ground.steps()[step_id]["summary"])
    return told


# --- max_failures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "fails", "state", "reason"),
    [
        (Tolerance(), 0, "succeeded", None),
        (Tolerance(), 1, "failed", "1 of 100 items failed (0 allowed)"),
        (Tolerance(count=3), 3, "succeeded", None),
        (Tolerance(count=3), 4, "failed", "4 of 100 items failed (3 allowed)"),
        (Tolerance(share=0.29), 29, "succeeded", None),
        (Tolerance(share=0.29), 30, "failed", "30 of 100 items failed (0.29 of all allowed)"),
        (Tolerance(share=0.07), 7, "succeeded", None),
        (Tolerance(share=0.0), 1, "failed", "1 of 100 items failed (0 of all allowed)"),
        (Tolerance(share=1.0), 100, "succeeded", None),
    ],
)
def test_a_step_fails_when_more_items_failed_than_it_allows(
    ground: Ground, allowed: Tolerance, fails: int, state: str, reason: str | None
) -> None:
    step = Step("a", shell(), HERE, foreach=rows(100), max_failures=allowed)
    backend = failing(*range(fails))
    ground.live(flow(ground.folder, step), backend, concurrency=20)
    assert ground.states()["a"] == (state, reason)
    assert len(backend.submitted) == 100
    assert summary(ground)["failed"] == fails


def test_a_share_of_no_items_is_not_exceeded(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(0), max_failures=Tolerance(share=0.1))
    assert ground.live(flow(ground.folder, step), ScriptedBackend()) is RunState.SUCCEEDED
    assert summary(ground)["accept_rate"] is None


def test_rejected_items_fail_no_step(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(5))
    backend = ScriptedBackend(lambda task, step: ended(task, Verdict.REJECTED))
    assert ground.live(flow(ground.folder, step), backend) is RunState.SUCCEEDED
    assert summary(ground)["accept_rate"] == 0.0


# --- fail_fast ---------------------------------------------------------------------------------


def test_after_the_failure_that_was_one_too_many_no_row_is_started_and_each_is_counted(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(40), fail_fast=True, max_failures=Tolerance(count=1))
    backend = failing(3, 5, 6)
    assert ground.live(flow(ground.folder, step), backend, concurrency=2) is RunState.FAILED
    last = max(backend.submitted_of("a"))
    assert last < 8
    told = summary(ground)
    assert told["total"] == 40
    assert told["skipped"] == 39 - last
    verdicts = ground.verdicts("a")
    assert sorted(verdicts) == list(range(40))
    reasons = {row["reason"] for row in ground.ask("outcomes_after", {"run_no": 1, "after": 0, "most": 99})}
    assert reasons == {None, "exit status 1", UNREAD}


def test_a_resumed_step_that_had_failed_too_often_starts_no_more_rows(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(40), fail_fast=True)

    def stop_at_failure(task: Task, step: Step) -> Outcome:
        if task.index == 2:
            ground.stop()
        return failing(2).answer(task, step)

    backend = ScriptedBackend(stop_at_failure)
    assert ground.live(flow(ground.folder, step), backend, concurrency=1) is RunState.INTERRUPTED
    again = ScriptedBackend()
    assert ground.live(flow(ground.folder, step), again) is RunState.FAILED
    assert again.submitted == []
    assert summary(ground)["skipped"] == 37


def test_without_fail_fast_all_items_are_tried(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(10))
    backend = failing(0)
    ground.live(flow(ground.folder, step), backend)
    assert backend.submitted_of("a") == list(range(10))


# --- rows without a command --------------------------------------------------------------------


def test_a_line_that_is_no_json_is_a_failed_item_with_its_number_and_its_text(ground: Ground) -> None:
    (ground.folder / "rows.jsonl").write_bytes(b'{"a": 1}\n{"a": \n\n{"a": 3}\n')
    step = Step("a", shell(), HERE, foreach=FileSource("rows.jsonl", "jsonl"), max_failures=Tolerance(count=1))
    backend = ScriptedBackend()
    assert ground.live(flow(ground.folder, step), backend) is RunState.SUCCEEDED
    assert backend.submitted_of("a") == [0, 2]
    (failed,) = [outcome for outcome in ground.listener.outcomes if outcome.verdict is Verdict.FAILED]
    assert (failed.reason or "").startswith("line 2 is not JSON")
    (fixture,) = (ground.layout.fixtures / "a").iterdir()
    assert json.loads(fixture.read_text())["input"] == '{"a": '


def test_where_skips_rows_and_says_why(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(5), where="item.n > 2")
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, step), backend)
    assert backend.submitted_of("a") == [3, 4]
    skipped = [outcome.reason for outcome in ground.listener.outcomes if outcome.verdict is Verdict.SKIPPED]
    assert skipped == [f"where: {n} > 2 → false" for n in range(3)]
    assert summary(ground)["accept_rate"] == 1.0


def test_where_without_an_answer_fails_the_item_and_names_the_field(ground: Ground) -> None:
    source = ListSource(({"risk": 1}, {"other": 2}, {"risk": "3"}))
    step = Step("a", shell(), HERE, foreach=source, where="item.risk > 0", max_failures=Tolerance(count=9))
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, step), backend)
    assert ground.verdicts("a") == {0: "accepted", 1: "failed", 2: "failed"}
    reasons = [outcome.reason for outcome in ground.listener.outcomes if outcome.reason]
    assert [reason for reason in reasons if not (reason.startswith("where: ") and "risk" in reason)] == []
    assert len(reasons) == 2


def test_a_value_that_a_row_does_not_have_fails_that_item_alone(ground: Ground) -> None:
    step = Step("a", shell(bindings={"V": "item.x"}), HERE, foreach=ListSource(({"x": 1}, {"y": 1})))
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, step), backend)
    assert ground.verdicts("a") == {0: "accepted", 1: "failed"}
    assert backend.submitted[0].values == (("V", "1"),)


def test_thousands_of_rows_without_a_command_come_to_an_end(ground: Ground) -> None:
    step = Step("a", shell(), HERE, foreach=rows(3000), where="item.n > 2998")
    backend = ScriptedBackend()
    assert ground.live(flow(ground.folder, step), backend) is RunState.SUCCEEDED
    assert backend.submitted_of("a") == [2999]
    assert summary(ground)["skipped"] == 2999


# --- accounting --------------------------------------------------------------------------------


def test_rows_in_are_accepted_rejected_failed_and_skipped_together(ground: Ground) -> None:
    verdicts = [Verdict.ACCEPTED] * 5 + [Verdict.REJECTED] * 3 + [Verdict.FAILED] * 2
    step = Step("a", shell(), HERE, foreach=rows(12), where="item.n < 10", max_failures=Tolerance(share=1.0))
    backend = ScriptedBackend(lambda task, step: ended(task, verdicts[task.index]))
    ground.live(flow(ground.folder, step), backend)
    told = summary(ground)
    counts = {
        name: told[name] for name in ("total", "accepted", "rejected", "failed", "skipped", "cached", "accept_rate")
    }
    assert counts == {
        "total": 12,
        "accepted": 5,
        "rejected": 3,
        "failed": 2,
        "skipped": 2,
        "cached": 0,
        "accept_rate": 0.5,
    }
    assert told["accept_rate_low"] == pytest.approx(0.2224411)
    assert (told["latency_p50_ms"], told["latency_p95_ms"]) == (250.0, 250.0)


def test_rows_with_one_text_have_keys_of_their_own(ground: Ground) -> None:
    step = Step("a", shell(bindings={"K": "key"}), HERE, foreach=ListSource(("x", "y", "x", "x")))
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, step), backend)
    keys = [dict(task.values)["K"] for task in backend.submitted]
    assert [key.partition(".")[2] for key in keys] == ["", "", "2", "3"]
    assert len(set(keys)) == 4


def test_a_listener_is_told_of_nothing_that_could_still_be_lost(ground: Ground) -> None:
    class Suspicious(MemoryListener):
        def outcome(self, outcome: Outcome) -> None:
            other = Database(ground.layout.journal)
            step_no = ground.steps()[outcome.task.step_id]["step_no"]
            assert other.one("outcome_at", (step_no, outcome.task.index)) is not None
            other.close()
            super().outcome(outcome)

    ground.listener = Suspicious()
    chance = random.Random(1)
    backend = ScriptedBackend(pick=lambda tasks: chance.randrange(len(tasks)))
    ground.live(flow(ground.folder, Step("a", shell(), HERE, foreach=rows(20), where="item.n % 3 > 0")), backend)
    assert len(ground.listener.outcomes) == 20
    assert ground.listener.ends()["a"].tally.done == 20
