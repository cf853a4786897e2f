"""Processes as /proc shows them: what a run has started, its supervisor, and whether one is alive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

PROC = Path("/proc")

needs_proc = pytest.mark.skipif(not (PROC / "self").is_dir(), reason="there is no /proc here")


def started_by_runs(folder: Path) -> list[int]:
    """The living processes that carry the mark of a run in this folder or below."""
    return [pid for pid in _numbers() if _marked(pid, folder)]


def supervisors(folder: Path) -> list[int]:
    """The living supervisors of runs in this folder or below."""
    return [pid for pid in _numbers() if any("supervisor.py" in word for word in _words(pid)) and _named(pid, folder)]


def alive(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def kill_all(pids: list[int]) -> None:
    """None of them goes on."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def soon(holds: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Whether it comes to hold: True at once when it does."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def _numbers() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _marked(pid: int, folder: Path) -> bool:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    inside = b"PENSTOCK_RUN_DIR=" + os.fsencode(folder.resolve()) + b"/"
    return alive(pid) and any(entry.startswith(inside) for entry in environment)


def _named(pid: int, folder: Path) -> bool:
    return alive(pid) and any(word.startswith(f"{folder.resolve()}/") for word in _words(pid))


def _words(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return []
