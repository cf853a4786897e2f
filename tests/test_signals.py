"""What signals do to a run: nothing new starts, what is in flight ends or is killed, and `resume` goes on."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.processes import alive, needs_proc, soon, started_by_runs, supervisors
from tests.terminal import HERE, Project, until

pytestmark = needs_proc

ITEM = """\
# Marks that it has begun, waits for the file `go`, and says so when it has ended.
echo "$1" >> begun
until [ -e go ]; do sleep 0.02; done
echo "$1" >> ended
"""

WAITING = """\
steps:
  - id: wait
    foreach: [0, 1, 2, 3, 4, 5, 6, 7]
    concurrency: 2
    run: bash item.sh "{{item}}"
  - id: after
    needs: [wait]
    run: echo 1
"""

STUBBORN = """\
steps:
  - id: stay
    foreach: [0, 1]
    concurrency: 1
    run: |
      trap '' TERM INT HUP
      setsid sleep 300 &
      touch begun
      until [ -e go ]; do sleep 0.02; done
"""


def waiting(folder: Path) -> Project:
    """A project whose items wait for the file `go`."""
    project = Project(folder)
    project.write("item.sh", ITEM)
    project.workflow(WAITING)
    return project


def lines(project: Project, name: str) -> list[str]:
    path = project.folder / name
    return sorted(path.read_text().split()) if path.exists() else []


def said(process: subprocess.Popen[bytes], words: str, so_far: list[bytes]) -> bool:
    """Whether the process has said this on standard error by now."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    so_far.append(process.stderr.read() or b"")
    return words.encode() in b"".join(so_far)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_once_lets_what_is_in_flight_end_and_starts_nothing_new(tmp_path: Path, number: signal.Signals) -> None:
    project = waiting(tmp_path)
    told: list[bytes] = []
    with project.running("run") as process:
        until(lambda: len(lines(project, "begun")) == 2, process)
        process.send_signal(number)
        until(lambda: said(process, "stopping: 2 tasks in flight may end", told), process)
        assert lines(project, "ended") == []
        project.write("go", "")
        assert process.wait() == 130
    assert lines(project, "begun") == lines(project, "ended") == ["0", "1"]
    assert project.succeeds("status", "--json").value["status"] == "interrupted"
    project.succeeds("resume")
    assert lines(project, "begun") == list("01234567")
    assert [line["record"] for line in project.records("wait")] == [""] * 8


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    with project.running("run") as process:
        until(lambda: len(lines(project, "begun")) == 2, process)
        process.send_signal(signal.SIGINT)
        project.write("go", "")
        out, err = process.communicate()
    assert b"stopping: 2 tasks in flight may end (Ctrl-C again kills them); nothing new starts\n" in err
    run = project.run_folder().name
    assert b"interrupted in " in out
    assert f"penstock resume {run}".encode() in out


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGINT),
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGHUP, signal.SIGHUP),
    ],
)
def test_twice_kills_what_is_in_flight_and_what_that_has_started(
    tmp_path: Path, numbers: tuple[signal.Signals, signal.Signals]
) -> None:
    project = Project(tmp_path)
    project.workflow(STUBBORN)
    told: list[bytes] = []
    with project.running("run") as process:
        until((tmp_path / "begun").exists, process)
        process.send_signal(numbers[0])
        until(lambda: said(process, "stopping: 1 tasks in flight", told), process)
        pids = started_by_runs(tmp_path)
        assert len(pids) >= 2
        process.send_signal(numbers[1])
        assert process.wait() == 130
        assert not any(map(alive, pids))
        assert supervisors(tmp_path) == []
    project.write("go", "")
    project.succeeds("resume")
    assert [line["verdict"] for line in project.records("stay")] == ["accepted", "accepted"]


def test_two_different_signals_to_end_are_one_as_a_machine_that_shuts_down_sends_them(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    with project.running("run") as process:
        until(lambda: len(lines(project, "begun")) == 2, process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        project.write("go", "")
        assert process.wait() == 130
    assert lines(project, "ended") == ["0", "1"]


def test_after_a_term_what_does_not_end_is_killed_in_the_end(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.workflow(STUBBORN)
    with project.running("run") as process:
        until((tmp_path / "begun").exists, process)
        pids = started_by_runs(tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 130
        assert not any(map(alive, pids))
    state = project.succeeds("status", "--json").value
    assert state["status"] == "interrupted"
    project.write("go", "")
    project.succeeds("resume")


def test_a_run_that_was_told_to_ignore_hang_ups_ignores_them(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    words = ["sh", "-c", f'trap "" HUP; exec {HERE / "penstock"} run --quiet']
    with subprocess.Popen(words, cwd=tmp_path, env=project.environ, stdout=subprocess.DEVNULL) as process:
        until(lambda: len(lines(project, "begun")) == 2, process)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        project.write("go", "")
        assert process.wait() == 0
    assert lines(project, "ended") == list("01234567")


def test_a_terminal_that_is_closed_leaves_a_run_that_ended_in_order(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    ours, theirs = pty.openpty()
    take_terminal = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    )
    words = [sys.executable, "-c", take_terminal, str(HERE / "penstock"), "run"]
    with subprocess.Popen(
        words, cwd=tmp_path, env=project.environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        until(lambda: len(lines(project, "begun")) == 2, process)
        fcntl.ioctl(ours, termios.FIONREAD, b"\0" * 4)
        os.close(ours)
        time.sleep(0.3)
        project.write("go", "")
        process.wait()
    assert lines(project, "begun") == lines(project, "ended") == ["0", "1"]
    assert project.succeeds("status", "--json").value["status"] == "interrupted"
    view = project.succeeds("status", "--json").value["steps"]
    assert isinstance(view, dict)
    assert view["wait"]["accepted"] == 2
    assert soon(lambda: not supervisors(tmp_path))
    project.succeeds("resume", "--quiet")


def test_a_signal_before_the_run_begins_leaves_nothing_to_resume_or_a_run_that_can_be(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    project.write("go", "")
    for delay_s in (0.05, 0.15, 0.25, 0.35):
        with project.running("run", "--quiet") as process:
            time.sleep(delay_s)
            process.send_signal(signal.SIGINT)
            process.wait()
        assert not started_by_runs(tmp_path)
    if (tmp_path / ".penstock" / "journal.db").exists():
        assert {run["status"] for run in project.runs()} <= {"interrupted", "succeeded"}
    project.succeeds("run", "--quiet")
