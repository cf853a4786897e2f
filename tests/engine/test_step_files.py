"""Files that steps write in the workflow's folder: whose they are, and what stands in their way."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.core.errors import OperatorError
from penstock.core.states import RunState
from penstock.core.work import Outcome, Piece, Task, Verdict
from penstock.core.workflow import ListSource, Step, Tolerance
from penstock.store.targets import written
from tests.doubles import HERE, Ground, ScriptedBackend, appends, ended, flow, holder, rows, shell, writes


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def per_item(replace: tuple[str, ...] = ()) -> Step:
    """A step that writes `out/I.json` for each item."""
    spec = shell(targets=(writes("out/", holder("i"), ".json"),))
    return Step("a", spec, HERE, foreach=rows(3), max_failures=Tolerance(share=1.0), replace=replace)


def writing(ground: Ground) -> ScriptedBackend:
    """Each task writes the files that are its own."""

    def answer(task: Task, step: Step) -> Outcome:
        for name in task.files:
            (ground.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (ground.folder / name).write_text(f"{step.id} {task.index}")
        return ended(task, files=tuple(written(ground.folder, name) for name in task.files))

    return ScriptedBackend(answer)


def reasons(ground: Ground) -> list[str]:
    return [outcome.reason for outcome in ground.listener.outcomes if outcome.reason]


# --- files of one item -------------------------------------------------------------------------


def test_a_file_that_was_there_before_is_not_touched_and_its_item_fails(ground: Ground) -> None:
    (ground.folder / "out").mkdir()
    (ground.folder / "out/1.json").write_text("mine")
    backend = writing(ground)
    ground.live(flow(ground.folder, per_item()), backend)
    assert backend.submitted_of("a") == [0, 2]
    assert (ground.folder / "out/1.json").read_text() == "mine"
    assert reasons(ground) == [
        "out/1.json is there already and no Penstock run wrote it: "
        "move it away, or say `replace: [out/1.json]` in the step"
    ]


def test_a_file_that_may_be_replaced_is_in_the_runs_folder(ground: Ground) -> None:
    (ground.folder / "out").mkdir()
    (ground.folder / "out/1.json").write_text("mine")
    ground.live(flow(ground.folder, per_item(replace=("out/*",))), writing(ground))
    assert (ground.folder / "out/1.json").read_text() == "a 1"
    assert (ground.run.replaced / "out/1.json").read_text() == "mine"


def test_of_two_tasks_with_one_file_the_second_fails(ground: Ground) -> None:
    target = writes("out/", holder("item.name"), ".json")
    source = ListSource(({"name": "x", "n": 1}, {"name": "y", "n": 2}, {"name": "x", "n": 3}))
    step = Step("a", shell(targets=(target,)), HERE, foreach=source, max_failures=Tolerance(count=1))
    backend = writing(ground)
    assert ground.live(flow(ground.folder, step), backend) is RunState.SUCCEEDED
    assert backend.submitted_of("a") == [0, 1]
    assert reasons(ground) == ["out/x.json is written by another task of this run"]


@pytest.mark.parametrize("name", ["../x", "/etc/x", "..", "a/../../x"])
def test_a_row_that_climbs_fails_without_a_command(ground: Ground, name: str) -> None:
    target = writes("out/", holder("item.name"), ".json")
    source = ListSource(({"name": name}, {"name": "fine"}))
    step = Step("a", shell(targets=(target,)), HERE, foreach=source, max_failures=Tolerance(count=1))
    backend = writing(ground)
    assert ground.live(flow(ground.folder, step), backend) is RunState.SUCCEEDED
    assert backend.submitted_of("a") == [1]


def test_a_path_is_given_to_the_task_and_a_json_output_is_named(ground: Ground) -> None:
    target = writes("out/", holder("i"), ".json")
    step = Step("a", shell(targets=(target,), output=target), HERE, foreach=rows(1))
    backend = writing(ground)
    ground.live(flow(ground.folder, step), backend)
    assert [(task.files, task.output) for task in backend.submitted] == [(("out/0.json",), "out/0.json")]


def test_an_output_that_is_no_json_file_is_no_record(ground: Ground) -> None:
    target = writes("out/", holder("i"), ".txt")
    step = Step("a", shell(targets=(target,), output=target), HERE, foreach=rows(1))
    backend = writing(ground)
    ground.live(flow(ground.folder, step), backend)
    assert [(task.files, task.output) for task in backend.submitted] == [(("out/0.txt",), None)]


def test_a_row_that_is_taken_away_leaves_no_file_behind(ground: Ground) -> None:
    ground.live(flow(ground.folder, per_item()), writing(ground))
    first = ground.run
    ground.next_run()
    fewer = Step("a", per_item().spec, HERE, foreach=rows(2))
    ground.live(flow(ground.folder, fewer), writing(ground))
    assert sorted(path.name for path in (ground.folder / "out").iterdir()) == ["0.json", "1.json"]
    assert sorted(path.name for path in (first.files / "out").iterdir()) == ["0.json", "1.json", "2.json"]


# --- append targets ----------------------------------------------------------------------------


def appending(ground: Ground) -> ScriptedBackend:
    return ScriptedBackend(lambda task, step: ended(task, pieces=(Piece(1, b"%d\n" % task.index),)))


def test_pieces_of_accepted_and_rejected_rows_are_appended_and_those_of_failed_ones_are_not(ground: Ground) -> None:
    verdicts = [Verdict.ACCEPTED, Verdict.REJECTED, Verdict.FAILED]
    step = Step("a", shell(targets=(appends("log"),)), HERE, foreach=rows(3), max_failures=Tolerance(count=1))
    backend = ScriptedBackend(
        lambda task, step: ended(task, verdicts[task.index], pieces=(Piece(1, b"%d\n" % task.index),))
    )
    ground.live(flow(ground.folder, step), backend)
    assert (ground.folder / "log").read_text() == "0\n1\n"


def test_an_append_target_that_nothing_was_appended_to_is_there_and_empty(ground: Ground) -> None:
    step = Step("a", shell(targets=(appends("logs/deep/log"),)), HERE, foreach=rows(2))
    ground.live(flow(ground.folder, step), ScriptedBackend())
    assert (ground.folder / "logs/deep/log").read_text() == ""


def test_a_run_begins_its_append_targets_anew(ground: Ground) -> None:
    step = Step("a", shell(targets=(appends("log"),)), HERE, foreach=rows(3))
    for _ in range(2):
        ground.next_run()
        ground.live(flow(ground.folder, step), appending(ground))
    assert (ground.folder / "log").read_text() == "0\n1\n2\n"


def test_a_kept_file_is_appended_to_in_every_run(ground: Ground) -> None:
    (ground.folder / "log").write_text("mine\n")
    step = Step("a", shell(targets=(appends("log"),)), HERE, foreach=rows(2), keep=("log",))
    for _ in range(2):
        ground.next_run()
        ground.live(flow(ground.folder, step), appending(ground))
    assert (ground.folder / "log").read_text() == "mine\n0\n1\n"


def test_an_append_target_that_an_earlier_step_wrote_by_itself_stops_the_run_and_is_not_touched(ground: Ground) -> None:
    (ground.folder / "log").write_text("by somebody")
    step = Step("a", shell(targets=(appends("log"),)), HERE, foreach=rows(2))
    with pytest.raises(OperatorError, match="log is there already and no Penstock run wrote it"):
        ground.live(flow(ground.folder, step), appending(ground))
    assert (ground.folder / "log").read_text() == "by somebody"


def test_a_step_whose_log_is_called_like_one_of_ours_spoils_neither(ground: Ground) -> None:
    step = Step("a", shell(targets=(appends("a.jsonl"), appends("log.jsonl", 2))), HERE, foreach=rows(3))
    backend = ScriptedBackend(lambda task, step: ended(task, pieces=(Piece(1, b"%d\n" % task.index), Piece(2, b"x\n"))))
    ground.live(flow(ground.folder, step), backend)
    assert (ground.folder / "a.jsonl").read_text() == "0\n1\n2\n"
    assert (ground.folder / "log.jsonl").read_text() == "x\nx\nx\n"
    assert len((ground.run.steps / "a.jsonl").read_text().splitlines()) == 3
    assert len(ground.run.log.read_text().splitlines()) == 4
