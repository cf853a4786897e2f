"""What `resume` takes up and what it refuses: its words, the records, the files and the accounting afterwards."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from penstock.core.errors import UsageError
from penstock.core.states import RunState
from tests.flows import BELOW, ONE, flow, numbered
from tests.terminal import Project, until


def test_what_has_a_verdict_stands_and_the_rest_is_done(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(6)))
    assert made.run(stop_after=3) is None
    assert made.view().state == "interrupted"
    assert made.begun()[:3] == ["0", "1", "2"]
    assert made.resume() is RunState.SUCCEEDED
    assert made.begun() == ["3", "4", "5"]
    assert made.counts("a") == (6, 0, 0, 0)
    assert made.records("a") == numbered(*range(6))
    assert made.read("all.jsonl") == "".join(f'{{"n":{n}}}\n' for n in range(6))
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_it_says_what_is_finished_and_what_was_in_flight(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(6)))
    made.run(stop_after=3)
    (flying,) = made.view().in_flight
    made.resume()
    assert made.notes[0] == (
        f"resuming run {made.view().id}: 3 tasks are finished and stand, 1 in flight, done again: {flying}"
    )


def test_a_resumed_run_can_be_stopped_and_resumed_again_and_again(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(7)))
    made.run(stop_after=1)
    for _ in range(5):
        assert made.resume(stop_after=1) is None
    assert made.resume() is RunState.SUCCEEDED
    assert made.records("a") == numbered(*range(7))


def test_the_snapshot_counts_and_not_the_file_as_it_is_now(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    made.write("workflow.yaml", "this is no workflow: [")
    assert made.resume(stop_after=1) is None
    (tmp_path / "workflow.yaml").unlink()
    assert made.resume() is RunState.SUCCEEDED
    assert made.records("a") == numbered(*range(4))


def test_overrides_of_the_first_command_line_hold_for_the_whole_run(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(
        "env: {WORD: one}\nsteps:\n  - id: a\n    foreach: [1, 2]\n    concurrency: 1\n"
        "    run: '[ -e go ] || touch wait; until [ -e go ]; do sleep 0.02; done; echo \"$WORD\"'\n"
    )
    with project.running("run", "--var", "WORD=two") as process:
        until((tmp_path / "wait").exists, process)
        os.kill(process.pid, signal.SIGKILL)
    project.write("go", "")
    project.succeeds("resume")
    assert [line["record"] for line in project.records("a")] == ["two", "two"]


def test_an_only_run_is_resumed_as_one(tmp_path: Path) -> None:
    steps = ONE + "  - id: b\n    foreach: steps.a\n    concurrency: 1\n    run: bash note.sh {{item.n}}\n"
    made = flow(tmp_path, steps, numbered(*range(4)))
    assert made.run() is RunState.SUCCEEDED
    made.begun()
    assert made.run(stop_after=2, only="b") is None
    assert made.resume() is RunState.SUCCEEDED
    assert [view.id for view in made.view().steps] == ["b"]
    assert made.records("b") == numbered(*range(4))
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_attempts_are_counted_across_lives_and_one_lost_to_a_crash_is_not(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.write("try.sh", 'echo "$1" >> tried\n[ -e go ] || [ "$1" != 2 ] || { touch held; sleep 300; }\nexit 1\n')
    project.workflow(
        "steps:\n  - id: a\n    foreach: [0]\n"
        "    retry: {attempts: 3, on: [exit], backoff: {base: 1ms, cap: 1ms}}\n"
        '    run: bash try.sh "{{attempt}}"\n'
    )
    with project.running("run") as process:
        until((tmp_path / "held").exists, process)
        os.kill(process.pid, signal.SIGKILL)
    project.write("go", "")
    assert project.penstock("resume").status == 1
    assert project.read("tried").split() == ["1", "2", "2", "3"]


def test_a_stream_goes_on_in_both_of_its_steps_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    made = flow(tmp_path, "steps:\n" + BELOW + ONE.removeprefix("steps:\n"), numbered(*range(8)))
    assert made.run(stop_after=7) is None
    assert made.resume(stop_after=3) is None
    assert made.resume() is RunState.SUCCEEDED
    assert made.records("a") == made.records("b") == numbered(*range(8))
    assert made.read("below.jsonl") == made.read("all.jsonl")


# --- refusals ------------------------------------------------------------------------------------


def test_a_run_that_succeeded_has_nothing_to_resume(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0))
    made.run()
    with pytest.raises(UsageError, match="has succeeded: there is nothing to resume"):
        made.resume()


def test_a_run_that_failed_is_told_of_failed(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0, 1))
    made.write("bad-1", "")
    assert made.run() is RunState.FAILED
    with pytest.raises(UsageError, match="has failed: there is nothing to resume") as refused:
        made.resume()
    assert "`penstock resume --failed`" in str(refused.value.help)


def test_a_run_whose_files_a_later_one_moved_is_refused_and_names_it(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(*range(4)))
    made.run(stop_after=2)
    first = made.view().id
    made.run(stop_after=2)
    second = made.view().id
    with pytest.raises(UsageError, match=f"run {first} cannot be resumed: run {second} came after it"):
        made.resume(run=first)
    assert made.resume() is RunState.SUCCEEDED
    assert made.view().id == second


def test_failed_items_of_a_run_that_is_not_the_newest_are_not_done_again(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0, 1))
    made.write("bad-1", "")
    made.run()
    first = made.view().id
    (tmp_path / "bad-1").unlink()
    assert made.run() is RunState.SUCCEEDED
    with pytest.raises(UsageError, match="came after it and moved its files"):
        made.resume(run=first, failed=True)


def test_a_run_that_does_not_exist_is_not_resumed(tmp_path: Path) -> None:
    made = flow(tmp_path, ONE, numbered(0))
    with pytest.raises(UsageError, match="there is no run"):
        made.resume()
    made.run()
    with pytest.raises(UsageError, match="no run is called nonsense"):
        made.resume(run="nonsense")
