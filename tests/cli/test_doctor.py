"""`penstock doctor`: says that all is well where it is, names what is not, and says what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.processes import alive, kill_all, needs_proc, soon, started_by_runs, supervisors
from tests.terminal import HERE, Project

STEPS = """\
steps:
  - id: work
    foreach: rows.jsonl
    max_failures: 5
    run: |
      while [ -e wait ]; do sleep 0.02; done
      echo {{item.n}} > out/{{i}}.txt
      test {{i}} != 3 || test -e mended
      echo '{"n": {{item.n}}}' | tee -a logs/all.jsonl
  - id: sum
    needs: [work]
    run: wc -l < logs/all.jsonl
"""


def made(folder: Path) -> Project:
    project = Project(folder)
    project.workflow(STEPS)
    project.write("rows.jsonl", "".join(f'{{"n": {number}}}\n' for number in range(6)))
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return made(tmp_path / "project")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = made(tmp_path_factory.mktemp("once") / "project")
    project.succeeds("run", "--quiet")
    return project.folder


@pytest.fixture
def ended(once: Path, tmp_path: Path) -> Project:
    """A run of five accepted rows and one failed."""
    shutil.copytree(once, tmp_path / "project")
    return Project(tmp_path / "project")


def examined(project: Project, *words: str) -> dict[str, Any]:
    """What `doctor --json` says, whose exit status fits it."""
    said = project.penstock("doctor", "--json", *words)
    told: dict[str, Any] = said.value
    assert said.out.count("\n") == 1
    assert said.status == (0 if told["ok"] else 1)
    return told


def found(told: dict[str, Any], grade: str) -> dict[str, str]:
    """What was found of one grade: what to do, by name."""
    return {one["name"]: f"{one['message']} | {one['help']}" for one in told["findings"] if one["grade"] == grade}


def run_folder(project: Project) -> Path:
    return max((project.folder / ".penstock" / "runs").iterdir())


def edit(project: Project, statement: str) -> None:
    """Somebody edits the journal."""
    with closing(sqlite3.connect(project.folder / ".penstock" / "journal.db")) as connection, connection:
        assert connection.execute(statement).rowcount > 0


# --- all is well -------------------------------------------------------------------------------


def test_a_folder_in_which_nothing_has_run_is_well(project: Project) -> None:
    said = project.succeeds("doctor")
    assert said.out.startswith("machine\n  ok       python ")
    assert "\nfolder\n  ok       journal  nothing has run here yet\n" in said.out
    assert said.out.endswith("\nno problems\n")
    assert not (project.folder / ".penstock").exists()


def test_a_folder_without_a_workflow_is_examined_all_the_same(tmp_path: Path) -> None:
    assert Project(tmp_path).succeeds("doctor").out.endswith("\nno problems\n")


def test_after_a_run_every_part_is_well(ended: Project) -> None:
    told = examined(ended)
    assert found(told, "problem") == {}
    assert [one["part"] for one in told["findings"] if one["name"] in ("bash", "lock", "accounting")] == [
        "machine",
        "folder",
        f"run {told['run']}",
    ]
    well = found(told, "ok")
    assert well["accounting"].startswith("2 of 2 steps have ended; each of their 7 tasks has one outcome")
    assert well["log.jsonl"].startswith("as the journal has it, 9 parts")
    assert well["steps/work.jsonl"].startswith("as the journal has it, 6 parts")
    assert well["logs/all.jsonl"].startswith("as the journal has it, 5 parts")
    assert well["files"].startswith("6 written by the run, with the size and hash")


def test_looking_changes_nothing(ended: Project) -> None:
    def state() -> dict[str, bytes]:
        files = (path for path in sorted(ended.folder.rglob("*")) if path.is_file() and "-shm" not in path.name)
        return {str(path): path.read_bytes() for path in files}

    before = state()
    ended.succeeds("doctor")
    assert state() == before


def test_an_earlier_run_can_be_named_and_a_run_that_never_was_cannot(ended: Project) -> None:
    first = examined(ended)["run"]
    ended.succeeds("run", "--quiet")
    assert examined(ended)["run"] != first
    told = examined(ended, first)
    assert (told["run"], told["ok"]) == (first, True)
    refused = ended.penstock("doctor", "nope")
    assert (refused.status, refused.normal_err.splitlines()[0]) == (2, "penstock: no run is called nope")


@pytest.mark.parametrize("words", [("--only", "sum"), ("--var", "X=2"), ("--concurrency", "1")])
def test_every_kind_of_run_is_well(ended: Project, words: tuple[str, ...]) -> None:
    ended.workflow("env: {X: '1'}\n" + STEPS)
    ended.succeeds("run", "--quiet", *words)
    assert found(examined(ended), "problem") == {}


def test_a_run_whose_failed_items_were_done_again_is_well(ended: Project) -> None:
    ended.write("mended", "")
    ended.succeeds("resume", "--failed", "--quiet")
    told = examined(ended)
    assert found(told, "problem") == {}
    assert found(told, "ok")["logs/all.jsonl"].startswith("as the journal has it, 6 parts")
    log = run_folder(ended) / "log.jsonl"
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines() if '"i":null' in line]
    assert steps == ["work", "sum", "work", "sum"]
    grown = log.read_bytes()
    log.unlink()
    assert examined(ended, "--rebuild")["rebuilt"] == ["log.jsonl"]
    assert log.read_bytes() == grown


def test_a_run_whose_input_was_read_anew_is_well(project: Project) -> None:
    killed(project)
    project.write("rows.jsonl", '{"n": 9}\n' + project.read("rows.jsonl"))
    project.succeeds("resume", "--reread", "--quiet")
    assert found(examined(project), "problem") == {}


# --- what is not well --------------------------------------------------------------------------


def other(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"2", b"7", 1))


def longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("log.jsonl", other),
        ("log.jsonl", longer),
        ("log.jsonl", Path.unlink),
        ("steps/work.jsonl", other),
        ("steps/work.jsonl", shorter),
        ("steps/sum.jsonl", Path.unlink),
    ],
)
def test_a_log_that_was_touched_is_named_and_can_be_written_anew(
    ended: Project, name: str, harm: Callable[[Path], None]
) -> None:
    path = run_folder(ended) / name
    before = path.read_bytes()
    harm(path)
    problems = found(examined(ended), "problem")
    assert list(problems) == [name]
    assert "`penstock doctor --rebuild` writes it anew" in problems[name]
    told = examined(ended, "--rebuild")
    assert (told["rebuilt"], told["ok"]) == ([name], True)
    assert path.read_bytes() == before


def test_where_nothing_differs_nothing_is_written_anew(ended: Project) -> None:
    assert examined(ended, "--rebuild")["rebuilt"] == []


@pytest.mark.parametrize(
    ("harm", "name", "said"),
    [
        (lambda folder: longer(folder / "logs/all.jsonl"), "logs/all.jsonl", "1 bytes more than the journal's 5 parts"),
        (lambda folder: other(folder / "out/2.txt"), "files", "out/2.txt has another content"),
        (lambda folder: (folder / "out/0.txt").unlink(), "files", "out/0.txt is gone"),
    ],
)
def test_an_output_that_was_touched_is_named(
    ended: Project, harm: Callable[[Path], None], name: str, said: str
) -> None:
    harm(ended.folder)
    problems = found(examined(ended), "problem")
    assert said in problems[name]
    assert "put it back" in problems[name]


def test_a_large_output_that_is_gone_is_named(project: Project) -> None:
    project.workflow("steps:\n  - id: a\n    foreach: [1, 2]\n    run: head -c 3000000 /dev/zero\n")
    project.succeeds("run", "--quiet")
    assert found(examined(project), "ok")["large outputs"].startswith("2 kept beside the journal, with the size")
    max((run_folder(project) / "out" / "a").iterdir()).unlink()
    assert "1 of 2 kept beside the journal are not as recorded" in found(examined(project), "problem")["large outputs"]


def test_a_journal_that_somebody_edited_is_found_out(ended: Project) -> None:
    edit(ended, "UPDATE outcomes SET verdict = 'rejected' WHERE i = 0 AND verdict = 'accepted'")
    problems = found(examined(ended), "problem")
    assert {"step work", "step sum", "log.jsonl", "steps/work.jsonl"} <= set(problems)
    assert "1 rejected told" not in problems["step work"]
    assert "0 rejected told, 1 in the journal" in problems["step work"]


def test_every_line_of_help_stands_below_its_problem(ended: Project) -> None:
    shutil.rmtree(run_folder(ended))
    said = ended.penstock("doctor")
    assert said.status == 1
    assert re.search(r"^  problem  workflow +the run's copy of the workflow is gone: ", said.out, re.MULTILINE)
    assert "           help: the run cannot be resumed: start a new one\n" in said.out
    assert said.out.splitlines()[-1].endswith(" problems")


# --- runs that have not ended ------------------------------------------------------------------


def killed(project: Project) -> None:
    """A run that was killed while its first rows were in flight."""
    project.write("wait", "")
    with project.running("run", "--quiet") as process:
        assert soon(lambda: bool(started_by_runs(project.folder)))
        os.kill(process.pid, signal.SIGKILL)
    assert soon(lambda: not [*started_by_runs(project.folder), *supervisors(project.folder)])
    (project.folder / "wait").unlink()


@needs_proc
def test_a_run_that_goes_on_is_well_and_its_files_are_left_alone(project: Project) -> None:
    project.write("wait", "")
    with project.running("run", "--quiet") as process:
        assert soon(lambda: bool(started_by_runs(project.folder)))
        told = examined(project)
        assert found(told, "problem") == {}
        assert f"held by process {process.pid} on " in found(told, "ok")["lock"]
        assert "compared once it has ended" in found(told, "note")["files"]
        refused = project.penstock("doctor", "--rebuild")
        assert refused.status == 1
        assert "is running in this folder" in refused.err
        (project.folder / "wait").unlink()
        assert process.wait() == 0


@needs_proc
def test_a_run_that_was_killed_is_to_be_resumed(project: Project) -> None:
    killed(project)
    told = examined(project)
    assert found(told, "problem") == {}
    notes = found(told, "note")
    assert "nobody runs it: its process died" in notes[f"run {told['run']}"]
    assert f"`penstock resume {told['run']}`" in notes["state"]
    assert "those of" in notes["private files"]
    project.succeeds("resume", "--quiet")
    after = examined(project)
    assert (after["run"], after["ok"], "state" in found(after, "note")) == (told["run"], True, False)


@pytest.fixture
def orphaned(project: Project) -> Iterator[Project]:
    """A run that was killed together with its supervisor: its commands live on."""
    project.write("wait", "")
    with project.running("run", "--quiet") as process:
        assert soon(lambda: an_item_is_at_work(project))
        watchers = supervisors(project.folder)
        for watcher in watchers:
            os.kill(watcher, signal.SIGSTOP)
        os.kill(process.pid, signal.SIGKILL)
        kill_all(watchers)
    yield project
    kill_all(started_by_runs(project.folder))


def leads_a_group(pid: int) -> bool:
    """Whether it is a step's shell, and not one of the short-lived commands that this starts."""
    return group_of(pid) == pid


def an_item_is_at_work(project: Project) -> bool:
    """Whether a command of an item's runs: a shell that only waits for its first item would end with Penstock."""
    return any(group_of(pid) not in (None, pid) for pid in started_by_runs(project.folder))


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@needs_proc
def test_commands_that_outlived_penstock_are_named_by_number(orphaned: Project) -> None:
    left = [pid for pid in started_by_runs(orphaned.folder) if leads_a_group(pid)]
    told = examined(orphaned)
    said = found(told, "problem")["processes"]
    assert left
    assert all(str(pid) in said for pid in left)
    assert "`penstock resume" in said
    (orphaned.folder / "wait").unlink()
    orphaned.succeeds("resume", "--quiet")
    assert not any(alive(pid) for pid in left)
    assert found(examined(orphaned), "problem") == {}


# --- the machine -------------------------------------------------------------------------------

BASH_OF_2014 = """#!/bin/sh
[ "$PENSTOCK_PROBE" ] && echo evaluated
exec {bash} "$@"
"""
BASH_OF_MACOS = """#!/bin/sh
printf '%s\\n' 3.2 '3.2.57(1)-release' "$PENSTOCK_PROBE"
"""


@pytest.mark.parametrize(
    ("script", "grade", "said"),
    [
        (BASH_OF_2014, "problem", "it executes what is in rows"),
        (BASH_OF_MACOS, "note", "3.2.57(1)-release"),
        ("#!/bin/sh\nexit 1\n", "problem", "does not work"),
        ("#!/nowhere/sh\n", "problem", "cannot be started"),
    ],
)
def test_a_bash_that_will_not_do_is_named(project: Project, script: str, grade: str, said: str) -> None:
    path = project.write("bin/bash", script.replace("{bash}", str(shutil.which("bash"))))
    path.chmod(0o755)
    project.environ["PATH"] = f"{path.parent}{os.pathsep}{project.environ['PATH']}"
    assert said in found(examined(project), grade)["bash"]


def test_limits_that_are_too_low_for_the_workflow_are_named_with_what_it_needs(project: Project) -> None:
    project.workflow(STEPS.replace("max_failures: 5", "concurrency: 1000"))
    said = project.bash("ulimit -n 500; ulimit -u 1000 2>/dev/null; penstock doctor --json")
    problems = found(said.value, "problem")
    assert "at most 500, and 1,00" in problems["open files"]
    assert "`ulimit -n 40" in problems["open files"]
    assert "lower `concurrency`" in problems["processes"]


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    small, large = (peak_kib(tmp_path / str(rows), rows) for rows in (500, 20_000))
    assert large - small < 8_000


def peak_kib(folder: Path, rows: int) -> int:
    """The most memory that `doctor` takes for a run of so many rows, which repeats what an earlier one did."""
    project = Project(folder)
    project.workflow("steps:\n  - id: a\n    foreach: rows.jsonl\n    where: item.n < 0\n    run: 'true'\n")
    project.write("rows.jsonl", "".join(f'{{"n": {number}, "text": "{"x" * 100}"}}\n' for number in range(rows)))
    project.succeeds("run", "--quiet")
    words = [str(HERE / "penstock"), "doctor"]
    process = subprocess.Popen(words, cwd=folder, env=project.environ, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss
