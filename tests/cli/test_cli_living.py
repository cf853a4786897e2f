"""Runs that are still alive: a second one is refused, the log is followed, Ctrl-C and kills are survived."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.terminal import Project, jsonl, until

GATED = """\
steps:
  - id: first
    foreach: [0, 1, 2, 3]
    concurrency: 1
    run: |
      touch began.{{i}}
      while [ ! -e go.{{i}} ]; do sleep 0.02; done
      echo {{i}} >> all.txt
  - id: last
    needs: [first]
    run: cat all.txt
"""
"""Each item waits until a file lets it go."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.workflow(GATED)
    return project


def let_go(project: Project, *items: int) -> None:
    for i in items:
        project.write(f"go.{i}", "")


def wait_to_hear(process: subprocess.Popen[bytes], words: str) -> None:
    """Returns when the process has said these words on standard error."""
    assert process.stderr is not None
    assert any(words in line.decode() for line in process.stderr)


def test_a_second_run_is_refused_and_told_of_the_first_which_can_be_watched(project: Project) -> None:
    with project.running("run") as process:
        let_go(project, 0)
        until(lambda: (project.folder / "began.1").exists(), process)
        second = project.penstock("run")
        assert (second.status, second.out) == (1, "")
        assert second.err.startswith(f"penstock: run {project.runs()[0]['run']} (process {process.pid} on ")
        assert second.normal_err == (
            "penstock: run RUN (process PID on HOST) is running in this folder\n"
            "  help: wait until it has ended, watch it with `penstock status`, or stop it with Ctrl-C\n"
        )
        assert project.penstock("resume").status != 0
        status = project.succeeds("status").normal
        assert status.startswith("run RUN  workflow.yaml (Test)  running  SPAN\n  first  running")
        assert project.runs()[0]["status"] == "running"
        with project.running("log", "-f") as follower:
            assert follower.stdout is not None
            assert b"  first 0  accepted  " in follower.stdout.readline()
            let_go(project, 1, 2, 3)
            rest = follower.stdout.read().decode()
            assert follower.wait() == 0
        assert process.wait() == 0
    assert [line.split("  ")[1:3] for line in rest.splitlines()] == [
        ["first 1", "accepted"],
        ["first 2", "accepted"],
        ["first 3", "accepted"],
        ["first", "succeeded"],
        ["last", "succeeded"],
    ]
    assert project.read("all.txt") == "0\n1\n2\n3\n"
    assert len(project.runs()) == 1


def test_after_ctrl_c_what_is_in_flight_ends_and_resume_does_the_rest(project: Project) -> None:
    with project.running("run") as process:
        let_go(project, 0)
        until(lambda: (project.folder / "began.1").exists(), process)
        process.send_signal(signal.SIGINT)
        wait_to_hear(process, "stopping: 1 tasks in flight may end")
        let_go(project, 1)
        out = process.communicate()[0].decode()
        assert process.returncode == 130
    run = str(project.runs()[0]["run"])
    assert out.startswith("interrupted in ")
    assert out.rstrip().endswith(f"  next    penstock resume {run}")
    assert project.succeeds("status").normal.rstrip().endswith("  next    penstock resume RUN")
    assert project.read("all.txt") == "0\n1\n"
    assert not (project.folder / "began.2").exists()
    let_go(project, 2, 3)
    resumed = project.succeeds("resume")
    assert "2 tasks are finished and stand, none was in flight" in resumed.err
    assert project.read("all.txt") == "0\n1\n2\n3\n"
    assert [line["i"] for line in jsonl(project.run_folder() / "steps/first.jsonl")] == [0, 1, 2, 3]


def test_after_a_second_ctrl_c_what_was_in_flight_is_done_again(project: Project) -> None:
    with project.running("run") as process:
        let_go(project, 0)
        until(lambda: (project.folder / "began.1").exists(), process)
        process.send_signal(signal.SIGINT)
        wait_to_hear(process, "Ctrl-C again kills them")
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode == 130
    assert "  1 in flight when it was interrupted: first:" in project.succeeds("status").out
    let_go(project, 1, 2, 3)
    assert "1 in flight, done again: first:" in project.succeeds("resume").err
    assert project.read("all.txt") == "0\n1\n2\n3\n"


def test_a_killed_run_is_shown_as_interrupted_and_gives_way_to_a_new_one(project: Project) -> None:
    with project.running("run") as process:
        let_go(project, 0)
        until(lambda: (project.folder / "began.1").exists() and project.log() != [], process)
        process.kill()
        process.wait()
    killed = project.runs()[0]
    assert killed["status"] == "interrupted"
    followed = project.succeeds("log", "-f")
    assert "first 0  accepted" in followed.out
    let_go(project, 1, 2, 3)
    project.succeeds("run")
    assert project.read("all.txt") == "0\n1\n2\n3\n"
    said = project.penstock("resume", str(killed["run"]))
    assert said.status == 2
    assert str(project.runs()[0]["run"]) in said.err
    assert "can no longer be resumed" in project.succeeds("status", str(killed["run"])).out
