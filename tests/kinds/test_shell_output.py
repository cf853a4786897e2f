"""What a short command prints, and its end when its time is up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock.kinds.shell_output import Printed, printed
from tests.processes import alive, soon

ENVIRON = {"PATH": os.environ["PATH"]}


def test_both_outputs_and_the_status_come_back(tmp_path: Path) -> None:
    assert printed("echo out; echo err >&2; exit 3", tmp_path, ENVIRON, 60) == Printed(3, b"out\n", b"err\n")


def test_only_the_given_environment_is_there(tmp_path: Path) -> None:
    (tmp_path / "startup").write_text("echo never-read\n")
    environ = {**ENVIRON, "MINE": "here", "BASH_ENV": str(tmp_path / "startup")}
    answer = printed('echo "$MINE ${HOME:-nowhere}"', tmp_path, environ, 60)
    assert answer.stdout == b"here nowhere\n"


def test_when_the_time_is_up_the_whole_group_is_killed_and_its_words_are_kept(tmp_path: Path) -> None:
    answer = printed("echo waiting >&2; sleep 600 & echo $! > pid; wait", tmp_path, ENVIRON, 0.5)
    assert answer == Printed(None, b"", b"waiting\n")
    pid = int((tmp_path / "pid").read_text())
    assert soon(lambda: not alive(pid))


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        printed("true", tmp_path / "gone", ENVIRON, 60)
