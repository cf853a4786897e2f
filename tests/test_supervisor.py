"""Penstock killed in any way leaves no process of its run alive, and nobody else's is touched."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.kinds import supervisor
from penstock.kinds.groups import Groups, Supervisor, kill_leftovers
from penstock.kinds.supervisor import groups_in, listed_by_ps, now_s, processes, survivors
from tests.processes import alive, kill_all, needs_proc, soon, supervisors
from tests.terminal import Project

pytestmark = needs_proc

RUN = f"r{os.getpid()}"
"""An id that no other test, which may go on beside these, gives to a run."""

NEST = """\
# Starts what is hard to get rid of; each writes its number to `pids`.
say='echo $$ >> pids; exec sleep 300'
sh -c "$say" &
sh -c "trap '' TERM HUP INT; $say" &
setsid sh -c "$say" &
( setsid sh -c "$say" & )
env -i PATH="$PATH" sh -c "$say" &
env -i PATH="$PATH" setsid sh -c "$say" &
echo $$ >> pids
until [ "$(wc -l < pids)" -ge 7 ]; do sleep 0.01; done
touch ready
wait
"""

STEPS = """\
steps:
  - id: nest
    foreach: [1, 2]
    concurrency: 1
    run: if [ -e again ]; then echo {}; else bash nest.sh; fi
"""


@contextmanager
def nested(folder: Path) -> Iterator[tuple[Project, subprocess.Popen[bytes], list[int]]]:
    """A run in the midst of a command that has started six others; all of them are gone afterwards."""
    project = Project(folder)
    project.write("nest.sh", NEST)
    project.workflow(STEPS)
    with project.running("run", "--quiet") as process:
        assert soon((folder / "ready").exists)
        pids = [int(line) for line in project.read("pids").split()]
        assert len(pids) == 7
        assert all(map(alive, pids))
        project.write("again", "")
        try:
            yield project, process, pids
        finally:
            kill_all([*supervisors(folder), *pids])


def none_alive(pids: list[int]) -> bool:
    return not any(map(alive, pids))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT])
def test_no_process_outlives_penstock_whatever_kills_it(tmp_path: Path, number: signal.Signals) -> None:
    with nested(tmp_path) as (_, process, pids):
        os.kill(process.pid, number)
        assert process.wait() == -number
        assert soon(lambda: none_alive(pids))
        assert soon(lambda: not supervisors(tmp_path))


def test_a_kill_of_the_whole_group_reaches_neither_commands_nor_supervisor_and_nothing_is_left(tmp_path: Path) -> None:
    with nested(tmp_path) as (project, process, pids):
        os.killpg(process.pid, signal.SIGKILL)
        assert soon(lambda: none_alive(pids))
        assert soon(lambda: not (project.run_folder() / "groups").exists())


def below(pid: int) -> list[int]:
    """The processes that this one has started, and those that they have."""
    children = [each for each, parent, _, _ in processes() if parent == pid]
    return [*children, *(each for child in children for each in below(child))]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


WAITING = """\
steps:
  - id: a
    foreach: [1, 2, 3, 4]
    concurrency: 2
    run: echo {{i}} > "began.{{i}}"; if [ {{i}} -gt 1 ]; then sleep 300; fi
"""


@pytest.mark.parametrize("supervised", [True, False])
def test_shells_that_fork_do_not_outlive_penstock_nor_do_those_that_they_forked(
    tmp_path: Path, supervised: bool
) -> None:
    project = Project(tmp_path)
    project.workflow(WAITING)
    with project.running("run", "--quiet") as process:
        assert soon(lambda: (tmp_path / "began.2").exists() and (tmp_path / "began.3").exists())
        assert soon(lambda: sum(name_of(pid) == "sleep" for pid in below(process.pid)) == 2)
        started = [pid for pid in below(process.pid) if pid not in supervisors(tmp_path)]
        assert len(started) >= 6  # two that fork, two that were forked, and their programs
        try:
            if not supervised:
                kill_all(supervisors(tmp_path))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not supervised:
                project.workflow(WAITING.replace("sleep 300", "true"))
                project.succeeds("run", "--quiet")
            assert soon(lambda: none_alive(started))
        finally:
            kill_all([*supervisors(tmp_path), *started])


def test_idle_shells_end_by_themselves_when_penstock_and_its_supervisor_are_gone(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(
        "steps:\n  - id: a\n    foreach: [1, 2, 3]\n    concurrency: 2\n"
        '    run: echo > "began.{{i}}"; until [ {{i}} -lt 2 ] || [ -e go ]; do sleep 0.01; done\n'
    )
    with project.running("run", "--quiet") as process:
        assert soon((tmp_path / "began.2").exists)
        started = [pid for pid in below(process.pid) if pid not in supervisors(tmp_path)]
        try:
            kill_all([*supervisors(tmp_path), process.pid])
            process.wait()
            project.write("go", "")
            assert soon(lambda: none_alive(started))
        finally:
            kill_all([*supervisors(tmp_path), *started])


def test_a_run_that_ends_leaves_no_supervisor_and_no_table(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow("steps:\n  - id: a\n    run: echo 1\n")
    project.succeeds("run")
    assert supervisors(tmp_path) == []
    assert not (project.run_folder() / "groups").exists()


def test_a_supervisor_that_was_killed_is_replaced_by_another(tmp_path: Path) -> None:
    with nested(tmp_path) as (_, process, pids):
        first = supervisors(tmp_path)
        assert len(first) == 1
        kill_all(first)
        assert soon(lambda: len(set(supervisors(tmp_path)) - set(first)) == 1)
        os.kill(process.pid, signal.SIGKILL)
        assert soon(lambda: none_alive(pids))


@pytest.mark.parametrize("word", ["resume", "run"])
def test_what_both_left_alive_is_killed_before_anything_starts(tmp_path: Path, word: str) -> None:
    with nested(tmp_path) as (project, process, pids):
        kill_all([*supervisors(tmp_path), process.pid])
        process.wait()
        assert all(map(alive, pids))
        said = project.succeeds(word)
        # One that has emptied its environment and left its group, and whose parent lives, is found by its parent.
        assert none_alive(pids)
        if word == "resume":
            assert re.search(r"; \d+ processes of it were still alive and were killed$", said.err, re.MULTILINE)


def test_a_supervisor_that_is_stuck_is_ended_by_resume(tmp_path: Path) -> None:
    with nested(tmp_path) as (project, process, pids):
        (watching,) = supervisors(tmp_path)
        os.kill(watching, signal.SIGSTOP)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        project.succeeds("resume", "--quiet")
        assert none_alive([watching, *pids])


def test_a_supervisor_does_not_heed_signals_that_end_other_programs(tmp_path: Path) -> None:
    with nested(tmp_path) as (_, process, pids):
        (watching,) = supervisors(tmp_path)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(watching, number)
        os.kill(process.pid, signal.SIGKILL)
        assert soon(lambda: none_alive(pids))


# --- who is a survivor -------------------------------------------------------------------------


@contextmanager
def stranger(**environ: str) -> Iterator[tuple[int, float]]:
    """A process in a group of its own that no run has started: its number and start time."""
    process = subprocess.Popen(["sleep", "300"], start_new_session=True, env={"PATH": os.environ["PATH"], **environ})
    try:
        assert soon(lambda: (Path("/proc") / str(process.pid) / "comm").read_text() == "sleep\n")
        yield process.pid, next(started_s for pid, _, _, started_s in processes() if pid == process.pid)
    finally:
        process.kill()
        process.wait()


def found(groups: dict[int, float], folder: Path, just_now: bool = False) -> set[int]:
    return set(survivors(list(processes()), groups, RUN, str(folder), just_now))


@pytest.mark.parametrize("just_now", [True, False])
def test_a_group_is_known_by_its_start_as_well_as_by_its_number(tmp_path: Path, just_now: bool) -> None:
    with stranger() as (pid, started_s):
        assert found({pid: started_s}, tmp_path, just_now) == {pid}
        assert found({pid: started_s - 0.5}, tmp_path, just_now) == {pid}
        assert found({pid: started_s + 60}, tmp_path, just_now) == set()
        assert found({pid: started_s - 3600}, tmp_path, just_now) == set()
        assert found({}, tmp_path, just_now) == set()


def test_a_group_without_its_leader_is_ours_only_if_nobody_can_have_taken_its_number(tmp_path: Path) -> None:
    said = subprocess.Popen(
        ["sh", "-c", "sleep 300 & echo $!"], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    assert said.stdout is not None
    left = int(said.stdout.readline())
    said.wait()
    said.stdout.close()
    try:
        groups = {said.pid: now_s() - 5}
        assert found(groups, tmp_path, just_now=True) == {left}
        assert found(groups, tmp_path) == set()
    finally:
        kill_all([left])


def test_a_mark_counts_only_with_this_runs_folder(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with (
        stranger(PENSTOCK_RUN_ID=RUN, PENSTOCK_RUN_DIR=str(tmp_path)) as (ours, _),
        stranger(PENSTOCK_RUN_ID=RUN, PENSTOCK_RUN_DIR=str(tmp_path / "copy")),
        stranger(PENSTOCK_RUN_ID=RUN, PENSTOCK_RUN_DIR=str(tmp_path / "before it was renamed")) as (moved, _),
        stranger(PENSTOCK_RUN_ID=f"{RUN}2", PENSTOCK_RUN_DIR=str(tmp_path)),
        stranger(NOT_PENSTOCK_RUN_ID=RUN),
    ):
        assert found({}, tmp_path) == {ours, moved}


def test_who_asks_and_those_above_are_spared(tmp_path: Path) -> None:
    with stranger() as (pid, started_s):
        everybody = {group: 0.0 for _, _, group, _ in processes()} | {pid: started_s}
        asking = found(everybody, tmp_path, just_now=True)
    assert os.getpid() not in asking
    assert os.getppid() not in asking
    assert pid in asking


def test_a_stranger_with_a_number_of_the_table_lives_on_when_the_supervisor_strikes(tmp_path: Path) -> None:
    with stranger() as (theirs, theirs_s), stranger() as (ours, ours_s):
        groups = Groups(tmp_path / "groups")
        groups.started(theirs, theirs_s + 30)
        groups.started(ours, ours_s)
        watching = Supervisor(groups, RUN)
        watching.dismiss(kill=True)
        groups.close()
        assert soon(lambda: not alive(ours))
        assert alive(theirs)
        assert not (tmp_path / "groups").exists()


def test_groups_that_have_ended_are_not_in_the_table(tmp_path: Path) -> None:
    groups = Groups(tmp_path / "groups")
    slots = [groups.started(number, number / 2) for number in (11, 12, 13)]
    groups.ended(slots[1])
    assert groups_in((tmp_path / "groups").read_bytes()) == {11: 5.5, 13: 6.5}
    groups.started(14, 7.0)
    assert groups_in((tmp_path / "groups").read_bytes()) == {11: 5.5, 13: 6.5, 14: 7.0}
    groups.close()


def test_the_table_of_another_boot_names_nobody(tmp_path: Path) -> None:
    with stranger() as (pid, started_s):
        groups = Groups(tmp_path / "groups")
        groups.started(pid, started_s)
        groups.close()
        table = bytearray((tmp_path / "groups").read_bytes())
        assert groups_in(bytes(table)) == {pid: started_s}
        table[0] ^= 1
        (tmp_path / "groups").write_bytes(table)
        assert kill_leftovers(tmp_path / "groups", RUN) == 0
        assert alive(pid)
        assert not (tmp_path / "groups").exists()


@pytest.mark.parametrize("written", [0, 1, 63, 64, 71])
def test_a_table_that_was_not_written_whole_names_nobody(tmp_path: Path, written: int) -> None:
    groups = Groups(tmp_path / "groups")
    groups.close()
    table = (tmp_path / "groups").read_bytes()[:written]
    assert groups_in(table) == {}
    (tmp_path / "groups").write_bytes(table)
    assert kill_leftovers(tmp_path / "groups", RUN) == 0
    assert not (tmp_path / "groups").exists()


def test_without_a_table_nobody_is_looked_for(tmp_path: Path) -> None:
    with stranger(PENSTOCK_RUN_ID=RUN, PENSTOCK_RUN_DIR=str(tmp_path)) as (pid, _):
        assert kill_leftovers(tmp_path / "groups", RUN) == 0
        assert alive(pid)


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps here")
def test_ps_tells_the_same_of_a_process_as_proc() -> None:
    with stranger() as (pid, started_s):
        listed = {line[0]: line for line in listed_by_ps()}
        _, parent, group, since_1970_s = listed[pid]
        assert (parent, group) == (os.getpid(), pid)
        assert abs((time.time() - since_1970_s) - (now_s() - started_s)) < 1.5
        assert os.getpid() in listed
        assert supervisor.SLACK_S < 1.5
