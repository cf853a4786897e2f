"""One process owns a run: the lock, the owner's row with its heartbeat, the epoch that fences off who was replaced."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.processes import alive, needs_proc, soon, started_by_runs
from tests.terminal import Project, until

pytestmark = needs_proc

STEPS = """\
steps:
  - id: wait
    foreach: [0, 1, 2, 3]
    concurrency: 2
    run: bash item.sh "{{item}}"
"""

ITEM = """\
echo "$1" >> begun
until [ -e go ]; do sleep 0.02; done
echo "$1" >> ended
"""

PROCESS = r"run \S+ \(process {pid} on \S+\)"


@contextmanager
def running(folder: Path, word: str = "run") -> Iterator[tuple[Project, subprocess.Popen[bytes]]]:
    """A run in the midst of its first two items, which wait for the file `go`."""
    project = Project(folder)
    if word == "run":
        project.write("item.sh", ITEM)
        project.workflow(STEPS)
    with project.running(word) as process:
        until(lambda: (folder / "begun").exists() and project.read("begun").count("\n") >= 2, process)
        yield project, process


def interrupted(folder: Path) -> Project:
    """A run that was killed in the midst of its first two items; nothing of it is alive."""
    with running(folder) as (project, process):
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert soon(lambda: not started_by_runs(folder))
    (folder / "begun").unlink()
    return project


def change(project: Project, statement: str, *values: object) -> None:
    """Somebody else writes to the journal."""
    with closing(sqlite3.connect(project.folder / ".penstock" / "journal.db")) as connection, connection:
        connection.execute(statement, values)


def ask(project: Project, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(project.folder / ".penstock" / "journal.db")) as connection:
        return connection.execute(query).fetchall()


def status(project: Project) -> object:
    told = project.succeeds("status", "--json").value["status"]
    assert project.runs()[0]["status"] == told
    return told


# --- on this machine ---------------------------------------------------------------------------


def test_a_run_whose_process_was_killed_is_interrupted_in_every_list(tmp_path: Path) -> None:
    with running(tmp_path) as (project, process):
        assert status(project) == "running"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert status(project) == "interrupted"
        assert ask(project, "SELECT state FROM runs") == [("running",)]


@pytest.mark.parametrize("word", ["resume", "run"])
def test_a_second_process_is_refused_and_told_who_is_first(tmp_path: Path, word: str) -> None:
    with running(tmp_path) as (project, process):
        said = project.penstock(word)
        assert said.status == 1
        assert re.match(f"penstock: {PROCESS.format(pid=process.pid)} is running in this folder\n", said.err)
        assert "`penstock status`" in said.err
        project.write("go", "")
        assert process.wait() == 0


def test_of_several_resumes_at_once_one_goes_on_and_the_others_name_it(tmp_path: Path) -> None:
    project = interrupted(tmp_path)
    words = ["penstock", "resume", "--quiet"]
    asking = [
        subprocess.Popen(
            words, cwd=tmp_path, env=project.environ, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        for _ in range(4)
    ]
    try:
        assert soon(lambda: sum(one.poll() is not None for one in asking) == 3)
        (winner,) = [one for one in asking if one.poll() is None]
        for one in asking:
            if one is not winner:
                assert one.stderr is not None
                said = one.stderr.read()
                assert one.returncode == 1
                assert f"process {winner.pid} on " in said
                assert "is running in this folder" in said
        project.write("go", "")
        assert winner.wait() == 0
        assert sorted(project.read("begun").split()) == ["0", "1", "2", "3"]
    finally:
        for one in asking:
            one.kill()
            one.communicate()


def test_a_lock_file_that_a_dead_process_left_is_no_hindrance(tmp_path: Path) -> None:
    project = interrupted(tmp_path)
    assert "process " in project.read(".penstock/lock")
    project.write("go", "")
    project.succeeds("resume")


def test_an_owner_that_lives_is_found_though_somebody_removed_the_lock(tmp_path: Path) -> None:
    with running(tmp_path) as (project, process):
        (tmp_path / ".penstock" / "lock").unlink()
        for word in ("resume", "run"):
            said = project.penstock(word)
            assert said.status == 1
            assert re.match(f"penstock: {PROCESS.format(pid=process.pid)} is running\n", said.err)
        project.write("go", "")
        assert process.wait() == 0


def test_a_process_that_has_the_owners_number_but_began_later_is_not_the_owner(tmp_path: Path) -> None:
    project = interrupted(tmp_path)
    change(project, "UPDATE owners SET pid = ?", os.getpid())
    assert status(project) == "interrupted"
    project.write("go", "")
    project.succeeds("resume")


# --- on another ----------------------------------------------------------------------------------


def elsewhere(project: Project, heard_of_s_ago: float) -> None:
    """The owner is a process on another host."""
    change(project, "UPDATE owners SET host = 'far-away', pid = 4711, heartbeat_at = ?", time.time() - heard_of_s_ago)


@pytest.mark.parametrize("word", ["resume", "run"])
def test_an_owner_elsewhere_that_was_heard_of_is_left_alone(tmp_path: Path, word: str) -> None:
    project = interrupted(tmp_path)
    elsewhere(project, 10)
    assert status(project) == "running"
    said = project.penstock(word)
    assert said.status == 1
    assert re.match(r"penstock: run \S+ \(process 4711 on far-away\) was heard of 1\d s ago", said.err)
    assert "until it has not been heard of for 60 s" in said.err
    assert not (tmp_path / "begun").exists()
    assert len(ask(project, "SELECT * FROM owners")) == 1


@pytest.mark.parametrize("heard_of_s_ago", [61, 86_400, -86_400])
def test_an_owner_elsewhere_that_is_silent_is_replaced_and_that_is_said(tmp_path: Path, heard_of_s_ago: float) -> None:
    project = interrupted(tmp_path)
    elsewhere(project, heard_of_s_ago)
    assert status(project) == "interrupted"
    project.write("go", "")
    said = project.succeeds("resume")
    replaced = r"^run \S+ \(process 4711 on far-away\) has not been heard of .*taken over"
    assert re.search(replaced, said.err, re.MULTILINE)
    assert ask(project, "SELECT epoch, released_at IS NULL FROM owners ORDER BY epoch") == [(1, 1), (2, 0)]


def test_the_owner_shows_every_second_that_it_lives(tmp_path: Path) -> None:
    with running(tmp_path) as (project, _):
        (first,) = ask(project, "SELECT heartbeat_at FROM owners")
        assert soon(lambda: ask(project, "SELECT heartbeat_at FROM owners") != [first])


# --- replaced while suspended --------------------------------------------------------------------


def test_a_process_that_was_suspended_while_another_took_over_stops_and_writes_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as (project, process):
        pids = started_by_runs(tmp_path)
        os.kill(process.pid, signal.SIGSTOP)
        change(
            project,
            "INSERT INTO owners SELECT run_no, epoch + 1, 'far-away', boot, 4711, pid_started, ?, ?, NULL FROM owners",
            time.time(),
            time.time(),
        )
        project.write("go", "")
        assert soon(lambda: not any(map(alive, pids)))  # what it was to commit has ended meanwhile
        time.sleep(1.1)  # nobody takes over from one that was heard of within a second
        os.kill(process.pid, signal.SIGCONT)
        _, err = process.communicate()
        assert process.returncode == 1
        assert b"another process has taken over run" in err
        assert soon(lambda: not started_by_runs(tmp_path))
    assert ask(project, "SELECT count(*) FROM outcomes") == [(0,)]
    assert ask(project, "SELECT state FROM runs") == [("running",)]
    assert ask(project, "SELECT epoch, released_at FROM owners ORDER BY epoch") == [(1, None), (2, None)]
    assert sorted(project.read("begun").split()) == ["0", "1"]


def test_commands_of_a_process_that_was_replaced_are_killed(tmp_path: Path) -> None:
    with running(tmp_path) as (project, process):
        pids = started_by_runs(tmp_path)
        change(
            project,
            "INSERT INTO owners SELECT run_no, epoch + 1, 'far-away', boot, 4711, pid_started, ?, ?, NULL FROM owners",
            time.time(),
            time.time(),
        )
        assert process.wait() == 1
        assert not any(map(alive, pids))
    assert not (tmp_path / "ended").exists()


HOLDING = """
import fcntl, sys, time
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.truncate(0)
lock.write(sys.argv[2])
lock.flush()
print("held", flush=True)
time.sleep(float(sys.argv[3]))
"""


@contextmanager
def lock_of_the_dead(project: Project, seconds: float) -> Iterator[None]:
    """The folder's lock, held by a process in the name of one that is no more: as a child that a killed one was about
    to start holds it until it has become its command."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    name = f"process {dead.pid} on {socket.gethostname()}"
    lock = project.folder / ".penstock" / "lock"
    words = [sys.executable, "-c", HOLDING, str(lock), name, str(seconds)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holding:
        assert holding.stdout is not None
        assert holding.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holding.kill()


def test_the_lock_of_a_process_that_died_a_moment_ago_is_waited_for(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow("name: x\nsteps: [{id: a, run: 'true'}]\n")
    project.succeeds("run")
    with lock_of_the_dead(project, 0.4):
        project.succeeds("run")


def test_a_lock_that_nobody_lets_go_is_told_of_all_the_same(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow("name: x\nsteps: [{id: a, run: 'true'}]\n")
    project.succeeds("run")
    with lock_of_the_dead(project, 60):
        assert "is running in this folder" in project.penstock("run").err
