"""`penstock doctor` on a run that asked models: its calls, its answers, its costs and the log of its calls."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.call_room import damage
from tests.graded import answer_files, graded
from tests.terminal import Project, jsonl, until


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = graded(Project(tmp_path_factory.mktemp("once") / "project"))
    project.succeeds("run", "--quiet")
    return project.folder


@pytest.fixture
def ended(once: Path, tmp_path: Path) -> Project:
    """A run of three calls that has ended."""
    shutil.copytree(once, tmp_path / "project")
    return Project(tmp_path / "project")


def found(project: Project, grade: str, *words: str) -> dict[str, str]:
    """What `doctor --json` found of one grade: what to do, by name."""
    told: dict[str, Any] = project.penstock("doctor", "--json", *words).value
    return {one["name"]: f"{one['message']} | {one['help']}" for one in told["findings"] if one["grade"] == grade}


def edit(project: Project, statement: str) -> None:
    with closing(sqlite3.connect(project.folder / ".penstock" / "journal.db")) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def test_a_run_that_asked_models_is_well(ended: Project) -> None:
    well = found(ended, "ok")
    assert found(ended, "problem") == {}
    assert {name: well[name] for name in ("calls", "answers", "cost", "calls.jsonl")} == {
        "calls": "each has an end | None",
        "answers": "the journal has a copy of each | None",
        "cost": "what each step told is the sum of its calls | None",
        "calls.jsonl": "as the journal has it, 3 parts | None",
    }


def test_of_a_run_that_asked_none_nothing_is_said_of_calls(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow("steps:\n  - id: a\n    run: 'true'\n")
    project.succeeds("run", "--quiet")
    assert {"calls", "answers", "cost", "calls.jsonl"} & set(found(project, "ok")) == set()


def changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"python", b"pythom", 1))


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize("harm", [changed, longer, Path.unlink])
def test_a_log_of_calls_that_was_touched_is_named_and_can_be_written_anew(
    ended: Project, harm: Callable[[Path], None]
) -> None:
    path = ended.run_folder() / "calls.jsonl"
    before = path.read_bytes()
    harm(path)
    problems = found(ended, "problem")
    assert list(problems) == ["calls.jsonl"]
    assert "`penstock doctor --rebuild` writes it anew from the journal" in problems["calls.jsonl"]
    assert ended.succeeds("doctor", "--rebuild", "--json").value["rebuilt"] == ["calls.jsonl"]
    assert path.read_bytes() == before
    assert ended.succeeds("doctor", "--rebuild", "--json").value["rebuilt"] == []


def test_answers_that_only_their_files_have_are_looked_at(ended: Project) -> None:
    ended.succeeds("cache", "prune")
    assert found(ended, "problem") == {}
    assert found(ended, "ok")["answers"] == "3 are in their files alone, which are whole | None"
    broken, gone, _ = answer_files(ended)
    damage(broken, "cut")
    gone.unlink()
    said = found(ended, "problem")["answers"]
    assert said.startswith("2 of 3 calls have lost their answers, which only files had: ")
    assert f"{broken} is not to be used, it is not whole" in said
    assert f"{gone} is gone" in said
    assert said.endswith(" | put the files back from a copy, or the next run buys them again")
    assert broken.exists()


def test_an_answer_that_the_journal_has_needs_no_file(ended: Project) -> None:
    shutil.rmtree(ended.folder / ".penstock" / "cache")
    assert found(ended, "problem") == {}


def test_a_replayed_answer_that_is_gone_is_named_in_the_run_that_replayed_it(ended: Project) -> None:
    ended.succeeds("run", "--quiet")
    ended.succeeds("cache", "prune")
    answer_files(ended)[0].unlink()
    assert found(ended, "problem")["answers"].startswith("1 of 3 calls have lost their answers")


def test_a_cost_that_is_not_the_sum_of_the_calls_is_found_out(ended: Project) -> None:
    edit(ended, "UPDATE call_ends SET cost_micros = 2500 WHERE end_no = 1")
    problems = found(ended, "problem")
    assert problems["step grade"].startswith("3 calls for $0.006000 told, 3 calls for $0.006500 in the journal | ")
    assert set(problems) == {"step grade", "calls.jsonl"}


def test_a_call_without_an_end_in_a_run_that_has_ended_is_a_bug(ended: Project) -> None:
    edit(ended, "DELETE FROM call_ends WHERE end_no = 3")
    problems = found(ended, "problem")
    assert problems["calls"].startswith("the run has succeeded, and 1 of its calls have no end | this is a bug")


def test_a_call_in_flight_when_penstock_died_is_told_and_resume_tells_what_is_known_of_it(tmp_path: Path) -> None:
    project = graded(Project(tmp_path))
    project.write("wait", "")
    with project.running("run", "--quiet") as process:
        until(lambda: (project.folder / "asked.1").exists(), process)
        assert "calls" not in found(project, "note")
        os.kill(process.pid, signal.SIGKILL)
    run = project.run_folder().name
    assert found(project, "problem") == {}
    assert found(project, "note")["calls"] == (
        "1 call was in flight when its process died: what they cost is not known"
        f" | `penstock resume {run}` tells of them, and sends them again"
    )
    (project.folder / "wait").unlink()
    said = project.succeeds("resume")
    assert "1 model call was in flight when Penstock died" in said.err
    assert "  calls   4 model calls, $0.006000 and the unknown cost of 1 call\n" in said.out
    assert (
        "  COST    NOT KNOWN for 1 call: the run may have cost more than is told\n"
        "          they were lost or cut off: your account at the provider tells more\n"
    ) in said.out
    assert found(project, "problem") == {}
    assert found(project, "ok")["calls"] == "each has an end | None"


def test_a_run_whose_rows_moved_has_its_calls_in_their_new_places(tmp_path: Path) -> None:
    project = graded(Project(tmp_path))
    project.write("hold", "")
    project.workflow(project.read("workflow.yaml").removeprefix("name: Test\n") + HELD)
    assert project.penstock("run", "--quiet").status == 1
    project.write("rows.jsonl", '{"n": 5}\n' + project.read("rows.jsonl"))
    (project.folder / "hold").unlink()
    project.succeeds("resume", "--failed", "--reread", "--quiet")
    assert [call["i"] for call in jsonl(project.run_folder() / "calls.jsonl")] == [1, 2, 3, 0]
    assert found(project, "problem") == {}


HELD = """\
  - id: last
    needs: [grade]
    run: test ! -e hold
"""
