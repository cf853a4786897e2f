"""Which steps start, and how those that never start end."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from penstock.core.errors import BugError
from penstock.core.states import RunState
from penstock.core.work import Outcome, Task, Verdict
from penstock.core.workflow import FileSource, OutputName, Step
from tests.doubles import HERE, Ground, ScriptedBackend, after, ended, flow, json_record, rows, shell, stream, writes


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def single(step_id: str, *needs: str, **more: Any) -> Step:
    return Step(step_id, shell(), HERE, needs=after(*needs), **more)


def ends_with(**verdicts: Verdict) -> ScriptedBackend:
    """Tasks end accepted, but for those of the steps named."""

    def answer(task: Task, step: Step) -> Outcome:
        verdict = verdicts.get(step.id, Verdict.ACCEPTED)
        return ended(task, verdict, reason=None if verdict is Verdict.ACCEPTED else "because")

    return ScriptedBackend(answer)


def started(backend: ScriptedBackend) -> list[str]:
    return [task.step_id for task in backend.submitted]


# --- what blocks and what skips ----------------------------------------------------------------


def test_a_failed_need_blocks_what_depends_on_it_and_nothing_else(ground: Ground) -> None:
    steps = (single("a"), single("b", "a"), single("c", "b"), single("d"), single("e", "d"))
    backend = ends_with(a=Verdict.FAILED)
    assert ground.live(flow(ground.folder, *steps), backend) is RunState.FAILED
    assert started(backend) == ["a", "d", "e"]
    assert ground.states() == {
        "a": ("failed", "because"),
        "b": ("blocked", "its need a ended failed"),
        "c": ("blocked", "its need b ended blocked"),
        "d": ("succeeded", None),
        "e": ("succeeded", None),
    }


def test_a_rejected_step_blocks_what_depends_on_it_and_rejects_the_run(ground: Ground) -> None:
    backend = ends_with(a=Verdict.REJECTED)
    assert ground.live(flow(ground.folder, single("a"), single("b", "a")), backend) is RunState.REJECTED
    assert ground.states() == {"a": ("rejected", "because"), "b": ("blocked", "its need a ended rejected")}


def test_a_run_with_a_failed_and_a_rejected_step_has_failed(ground: Ground) -> None:
    backend = ends_with(a=Verdict.REJECTED, b=Verdict.FAILED)
    assert ground.live(flow(ground.folder, single("a"), single("b")), backend) is RunState.FAILED


def test_a_skipped_need_skips_what_depends_on_it_and_the_run_succeeds(ground: Ground) -> None:
    steps = (single("a", when="1 > 2"), single("b", "a"), single("c", "b"), single("d"))
    backend = ScriptedBackend()
    assert ground.live(flow(ground.folder, *steps), backend) is RunState.SUCCEEDED
    assert started(backend) == ["d"]
    assert ground.states() == {
        "a": ("skipped", "when: 1 > 2 → false"),
        "b": ("skipped", "its need a was skipped"),
        "c": ("skipped", "its need b was skipped"),
        "d": ("succeeded", None),
    }


def test_a_step_that_accepts_a_skipped_need_runs(ground: Ground) -> None:
    accepting = Step("b", shell(), HERE, needs=after("a", accept_skipped=True))
    assert (
        ground.live(flow(ground.folder, single("a", when="false"), accepting), ScriptedBackend()) is RunState.SUCCEEDED
    )
    assert ground.states()["b"][0] == "succeeded"


def test_accepting_a_skipped_need_accepts_no_failed_one(ground: Ground) -> None:
    accepting = Step("b", shell(), HERE, needs=after("a", accept_skipped=True))
    ground.live(flow(ground.folder, single("a"), accepting), ends_with(a=Verdict.FAILED))
    assert ground.states()["b"] == ("blocked", "its need a ended failed")


def test_a_step_that_streams_from_a_skipped_one_and_accepts_that_has_no_rows_and_succeeds(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(2), when="false")
    below = Step("b", shell(), HERE, needs=after("a", accept_skipped=True), foreach=stream("a"), barrier=False)
    assert ground.live(flow(ground.folder, above, below), ScriptedBackend()) is RunState.SUCCEEDED
    assert ground.states()["b"][0] == "succeeded"


# --- order -------------------------------------------------------------------------------------


def test_a_step_starts_when_all_its_needs_have_ended_whatever_their_place_in_the_file(ground: Ground) -> None:
    steps = (single("d", "b", "c"), single("c", "a"), single("b", "a"), single("a"))
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, *steps), backend)
    assert started(backend)[0] == "a"
    assert sorted(started(backend)[1:3]) == ["b", "c"]
    assert started(backend)[3:] == ["d"]


def test_steps_that_do_not_need_each_other_run_side_by_side(ground: Ground) -> None:
    at_once: list[int] = []

    def look(backend: ScriptedBackend) -> None:
        at_once.append(len(backend.submitted) - len(backend.ended))

    steps = [Step(name, shell(), HERE, foreach=rows(5)) for name in "abc"]
    ground.live(flow(ground.folder, *steps), ScriptedBackend(each_wait=look), concurrency=2)
    assert max(at_once) == 6


@pytest.mark.parametrize(
    ("own", "asked", "cores", "most"), [(None, None, 3, 3), (2, None, 3, 2), (2, 5, 3, 5), (9, None, 3, 9)]
)
def test_so_many_items_of_a_step_are_in_flight_at_once(
    ground: Ground, own: int | None, asked: int | None, cores: int, most: int
) -> None:
    step = Step("a", shell(), HERE, foreach=rows(20), concurrency=own)
    backend = ScriptedBackend()
    ground.live(flow(ground.folder, step), backend, concurrency=asked, cores=cores)
    assert backend.most_at_once == {"a": most}
    assert backend.submitted_of("a") == list(range(20))


def test_needs_that_go_in_a_circle_are_a_bug_that_says_so(ground: Ground) -> None:
    with pytest.raises(BugError, match=r"nothing can start, but these steps have not ended: \['a', 'b'\]"):
        ground.live(flow(ground.folder, single("a", "b"), single("b", "a"), single("c")), ScriptedBackend())
    assert ground.states()["c"] == ("succeeded", None)


# --- when --------------------------------------------------------------------------------------

SUMMARY = {"summary": OutputName("a", "summary.json")}


def summary_then(ground: Ground, text: str, when: str) -> RunState:
    """Step a writes `summary.json`; b runs if `when` says so."""
    written = writes("summary.json")
    above = Step("a", shell(targets=(written,), output=written), HERE)

    def write(task: Task, step: Step) -> Outcome:
        (ground.folder / "summary.json").write_text(text)
        return ended(task)

    below = Step("b", shell(), HERE, needs=after("a"), when=when)
    return ground.live(flow(ground.folder, above, below, outputs=SUMMARY), ScriptedBackend(write))


def test_a_condition_that_is_false_skips_and_its_operands_are_in_the_log(ground: Ground) -> None:
    summary_then(ground, '{"accept_rate": 0.873}', "outputs.summary.accept_rate > 0.9")
    assert ground.states()["b"] == ("skipped", "when: 0.873 > 0.9 → false")
    assert "0.873 > 0.9 → false" in ground.run.log.read_text(encoding="utf-8").splitlines()[-1]
    assert journalled(ground) == [("b", "0.873 > 0.9 → false")]


def journalled(ground: Ground) -> list[tuple[str, str]]:
    plain = sqlite3.connect(ground.layout.journal)
    try:
        return plain.execute("SELECT subject, detail FROM events WHERE kind = 'when'").fetchall()
    finally:
        plain.close()


def test_a_condition_that_is_true_is_journalled_too(ground: Ground) -> None:
    assert summary_then(ground, '{"accept_rate": 0.95}', "outputs.summary.accept_rate > 0.9") is RunState.SUCCEEDED
    assert journalled(ground) == [("b", "0.95 > 0.9 → true")]


@pytest.mark.parametrize(
    ("text", "when", "named"),
    [
        ('{"rate": 0.95}', "outputs.summary.accept_rate > 0.9", "accept_rate"),
        ('{"accept_rate": "0.95"}', "outputs.summary.accept_rate > 0.9", "accept_rate"),
        ('{"accept_rate": NaN}', "outputs.summary.accept_rate > 0.9", "outputs.summary"),
        ('{"accept_rate": null}', "outputs.summary.accept_rate > 0.9", "accept_rate"),
        ("", "outputs.summary.accept_rate > 0.9", "outputs.summary"),
        ('{"ok": 1}', "outputs.summary.ok", "outputs.summary.ok"),
    ],
)
def test_a_condition_without_an_answer_fails_the_step_and_names_the_field(
    ground: Ground, text: str, when: str, named: str
) -> None:
    assert summary_then(ground, text, when) is RunState.FAILED
    state, reason = ground.states()["b"]
    assert state == "failed"
    assert reason is not None
    assert reason.startswith("when: ")
    assert named in reason


def test_a_condition_sees_what_was_in_the_file_when_its_step_ended(ground: Ground) -> None:
    written = writes("summary.json")
    above = Step("a", shell(targets=(written,), output=written), HERE)
    middle = Step("m", shell(), HERE, needs=after("a"))
    below = Step("b", shell(), HERE, needs=after("m"), when="outputs.summary.rate > 0.9")

    def write(task: Task, step: Step) -> Outcome:
        (ground.folder / "summary.json").write_text('{"rate": %s}' % ("0.95" if step.id == "a" else "0.1"))
        return ended(task)

    ground.live(flow(ground.folder, above, middle, below, outputs=SUMMARY), ScriptedBackend(write))
    assert ground.states()["b"][0] == "succeeded"


def test_a_condition_sees_the_accounting_of_a_step_with_items(ground: Ground) -> None:
    above = Step("a", shell(), HERE, foreach=rows(4))
    below = Step("b", shell(), HERE, needs=after("a"), when="outputs.a.accept_rate >= 0.75 and outputs.a.total == 4")
    backend = ScriptedBackend(
        lambda task, step: ended(
            task, Verdict.REJECTED if task.step_id == "a" and task.index == 2 else Verdict.ACCEPTED
        )
    )
    ground.live(flow(ground.folder, above, below, outputs={"a": OutputName("a", None)}), backend)
    assert ground.states()["b"] == ("succeeded", "when: 0.75 >= 0.75 and 4 == 4 → true")


def test_a_condition_sees_the_record_of_a_step_without_items(ground: Ground) -> None:
    below = single("b", "a", when='outputs.a.choice == "go"')
    backend = ScriptedBackend(lambda task, step: ended(task, record=json_record(b'{"choice":"go"}')))
    ground.live(flow(ground.folder, single("a"), below, outputs={"a": OutputName("a", None)}), backend)
    assert ground.states()["b"][0] == "succeeded"


# --- what a step must be given and must leave --------------------------------------------------


def test_a_step_whose_input_is_not_there_fails_with_its_name(ground: Ground) -> None:
    missing = Step("a", shell(), HERE, foreach=FileSource("data/rows.jsonl", "jsonl"))
    assert ground.live(flow(ground.folder, missing, single("b")), ScriptedBackend()) is RunState.FAILED
    state, reason = ground.states()["a"]
    assert state == "failed"
    assert reason is not None
    assert "data/rows.jsonl" in reason
    assert ground.states()["b"][0] == "succeeded"


@pytest.mark.parametrize(
    ("name", "format", "content", "said"),
    [
        ("rows.jsonl.gz", "jsonl.gz", b"no gzip", "is no whole gzip file"),
        ("rows.json", "json", b'[{"a": 1}, {"a"', "rows.json"),
        ("rows.csv", "csv", b"a,a\n1,2\n", 'two columns are named "a"'),
    ],
)
def test_a_step_whose_input_breaks_off_fails_and_the_others_go_on(
    ground: Ground, name: str, format: str, content: bytes, said: str
) -> None:
    (ground.folder / name).write_bytes(content)
    broken = Step("a", shell(), HERE, foreach=FileSource(name, format))
    assert ground.live(flow(ground.folder, broken, single("b"), single("c", "a")), ScriptedBackend()) is RunState.FAILED
    state, reason = ground.states()["a"]
    assert (state, said in (reason or "")) == ("failed", True)
    assert ground.states()["b"][0] == "succeeded"
    assert ground.states()["c"] == ("blocked", "its need a ended failed")


def test_a_step_that_does_not_write_what_its_outputs_name_fails(ground: Ground) -> None:
    step = Step("a", shell(), HERE, outputs=(("x", "x.json"), ("y", "y.json")))
    (ground.folder / "y.json").write_text("{}")
    assert ground.live(flow(ground.folder, step), ScriptedBackend()) is RunState.FAILED
    assert ground.states()["a"] == ("failed", "it did not write x.json, which its `outputs` name")
