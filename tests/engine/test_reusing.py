"""Outcomes of earlier runs that stand for tasks of a new one, and all that must be as it was for that."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.core.work import Outcome, Piece, Task, Verdict
from penstock.core.workflow import ListSource, Step, Tolerance, Workflow
from penstock.store.targets import written
from tests.doubles import HERE, Ground, ScriptedBackend, appends, ended, flow, holder, rows, shell, writes

OUT = writes("out/", holder("i"), ".json")
STEP = Step("a", shell("cmd", targets=(appends("log"), OUT)), HERE, foreach=rows(3), cache=True)


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def working(ground: Ground, verdict: Verdict = Verdict.ACCEPTED) -> ScriptedBackend:
    """Each task appends to its log and writes the files that are its own."""

    def answer(task: Task, step: Step) -> Outcome:
        for name in task.files:
            (ground.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (ground.folder / name).write_text(f"file {task.index}")
        files = tuple(written(ground.folder, name) for name in task.files)
        large = ground.run.pieces / step.id / f"{task.index}.1"
        if task.index == 1:
            large.parent.mkdir(parents=True, exist_ok=True)
            large.write_text("1 from a file\n")
            pieces = (Piece(1, None, f"pieces/{step.id}/1.1"),)
        else:
            pieces = (Piece(1, b"%d\n" % task.index),)
        return ended(task, verdict, pieces=pieces, files=files)

    return ScriptedBackend(answer)


def run(ground: Ground, workflow: Workflow, verdict: Verdict = Verdict.ACCEPTED) -> list[int]:
    """The rows of step a that a new run does itself."""
    ground.next_run()
    backend = working(ground, verdict)
    ground.live(workflow, backend)
    return backend.submitted_of("a")


def in_place(ground: Ground) -> dict[str, str]:
    names = ["log", "out/0.json", "out/1.json", "out/2.json"]
    return {name: (ground.folder / name).read_text() for name in names if (ground.folder / name).exists()}


WHOLE = {"log": "0\n1 from a file\n2\n", "out/0.json": "file 0", "out/1.json": "file 1", "out/2.json": "file 2"}


def test_nothing_is_reused_unless_the_step_says_so(ground: Ground) -> None:
    workflow = flow(ground.folder, replace(STEP, cache=False))
    assert run(ground, workflow) == [0, 1, 2]
    assert run(ground, workflow) == [0, 1, 2]


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.REJECTED])
def test_what_was_accepted_or_rejected_is_reused_with_its_pieces_and_files_run_after_run(
    ground: Ground, verdict: Verdict
) -> None:
    workflow = flow(ground.folder, STEP)
    assert run(ground, workflow, verdict) == [0, 1, 2]
    for number in (1, 2, 3):
        assert run(ground, workflow) == []
        assert in_place(ground) == WHOLE
        assert ground.verdicts("a") == dict.fromkeys(range(3), verdict.value)
        reused = [outcome.reason for outcome in ground.listener.outcomes[-3:]]
        assert reused == [f"reused from run r{number}"] * 3


def test_what_failed_is_done_again(ground: Ground) -> None:
    step = replace(STEP, spec=shell("cmd"), max_failures=Tolerance(share=1.0))
    assert run(ground, flow(ground.folder, step), Verdict.FAILED) == [0, 1, 2]
    assert run(ground, flow(ground.folder, step)) == [0, 1, 2]


def test_only_a_changed_row_is_done_again(ground: Ground) -> None:
    run(ground, flow(ground.folder, STEP))
    changed = replace(STEP, foreach=ListSource(({"n": 0}, {"n": "edited"}, {"n": 2})))
    assert run(ground, flow(ground.folder, changed)) == [1]
    assert in_place(ground) == WHOLE


def test_a_row_that_is_put_in_front_is_the_only_one_done(ground: Ground) -> None:
    step = replace(STEP, spec=shell("cmd {{item}}", bindings={"V": "item"}))
    run(ground, flow(ground.folder, step))
    assert run(ground, flow(ground.folder, replace(step, foreach=ListSource(({"n": 9}, *rows(3).values))))) == [0]


@pytest.mark.parametrize(
    "change",
    [
        lambda step: replace(step, spec=shell("other", targets=step.script.targets)),
        lambda step: replace(step, env=(("MODEL", "large"),)),
        lambda step: replace(step, inputs=("schema.json",)),
        lambda step: replace(step, spec=shell("cmd", targets=step.script.targets, reads=("schema.json",))),
    ],
    ids=["text", "env", "inputs", "reads"],
)
def test_another_command_is_another_task(ground: Ground, change: Callable[[Step], Step]) -> None:
    (ground.folder / "schema.json").write_text("{}")
    run(ground, flow(ground.folder, STEP))
    assert run(ground, flow(ground.folder, change(STEP))) == [0, 1, 2]


def test_a_file_that_the_text_names_is_part_of_what_is_asked(ground: Ground) -> None:
    (ground.folder / "schema.json").write_text("{}")
    step = replace(STEP, spec=shell("cmd", targets=STEP.script.targets, reads=("schema.json",)))
    run(ground, flow(ground.folder, step))
    assert run(ground, flow(ground.folder, step)) == []
    (ground.folder / "schema.json").write_text("[]")
    assert run(ground, flow(ground.folder, step)) == [0, 1, 2]


def test_the_environment_of_the_workflow_is_part_of_what_is_asked(ground: Ground) -> None:
    run(ground, flow(ground.folder, STEP, MODEL="small"))
    assert run(ground, flow(ground.folder, STEP, MODEL="large")) == [0, 1, 2]
    assert run(ground, flow(ground.folder, STEP, MODEL="small")) == []


# --- what is gone or was changed ---------------------------------------------------------------


def test_a_row_whose_file_somebody_took_away_is_done_again(ground: Ground) -> None:
    run(ground, flow(ground.folder, STEP))
    (ground.folder / "out/1.json").unlink()
    assert run(ground, flow(ground.folder, STEP)) == [1]
    assert in_place(ground) == WHOLE


def test_a_row_whose_kept_file_was_changed_is_done_again(ground: Ground) -> None:
    workflow = flow(ground.folder, STEP)
    run(ground, workflow)
    ground.next_run()
    ground.live(flow(ground.folder, replace(STEP, foreach=rows(0))), ScriptedBackend())
    kept = ground.layout.run("r1").files / "out/2.json"
    assert kept.read_text() == "file 2"
    kept.write_text("edited")
    assert run(ground, workflow) == [2]


def test_a_row_whose_large_piece_is_gone_is_done_again(ground: Ground) -> None:
    run(ground, flow(ground.folder, STEP))
    shutil.rmtree(ground.run.pieces)
    assert run(ground, flow(ground.folder, STEP)) == [1]
    assert in_place(ground) == WHOLE


def test_a_row_that_wrote_no_file_though_it_might_have_is_reused_all_the_same(ground: Ground) -> None:
    def silent() -> list[int]:
        ground.next_run()
        backend = ScriptedBackend()
        ground.live(flow(ground.folder, STEP), backend)
        return backend.submitted_of("a")

    assert silent() == [0, 1, 2]
    assert silent() == []


# --- steps without items -----------------------------------------------------------------------


def one_step(ground: Ground) -> Workflow:
    (ground.folder / "input.txt").write_text("1")
    output = writes("result.json")
    step = Step("a", shell("cmd", targets=(output,), output=output), HERE, cache=True, inputs=("input.txt",))
    return flow(ground.folder, step)


def once(ground: Ground, workflow: Workflow) -> list[int]:
    def answer(task: Task, step: Step) -> Outcome:
        (ground.folder / "result.json").write_text('{"n": 1}')
        return ended(task)

    ground.next_run()
    backend = ScriptedBackend(answer)
    ground.live(workflow, backend)
    return backend.submitted_of("a")


def test_a_step_without_items_is_reused_while_its_inputs_and_outputs_stand(ground: Ground) -> None:
    workflow = one_step(ground)
    assert [once(ground, workflow) for _ in range(3)] == [[0], [], []]
    assert ground.listener.outcomes[-1].reason == "reused from run r2"


@pytest.mark.parametrize(
    ("name", "text"),
    [("input.txt", "2"), ("result.json", "{}"), ("result.json", None)],
    ids=["input", "edited", "gone"],
)
def test_a_step_whose_input_changed_or_whose_output_is_not_as_it_was_is_done_again(
    ground: Ground, name: str, text: str | None
) -> None:
    workflow = one_step(ground)
    once(ground, workflow)
    if text is None:
        (ground.folder / name).unlink()
    else:
        (ground.folder / name).write_text(text)
    assert once(ground, workflow) == [0]


def test_a_step_without_items_and_without_inputs_always_runs(ground: Ground) -> None:
    step = Step("a", shell("cmd"), HERE, cache=True)
    assert [once(ground, flow(ground.folder, step)) for _ in range(2)] == [[0], [0]]
