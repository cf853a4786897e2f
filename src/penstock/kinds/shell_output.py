"""What a short command prints: run by bash to its end, with its output in memory and nowhere else."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_DRAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Printed:
    """How it ended and what it wrote. `status` is negative for the signal that killed it, None if its time was up."""

    status: int | None
    stdout: bytes
    stderr: bytes


def printed(text: str, cwd: Path, environ: Mapping[str, str], timeout_s: float) -> Printed:
    """Runs `bash -euo pipefail -c TEXT` with an empty input, in a session of its own.

    It has ended when the command has, and whatever holds its output open. When the time is up its group is killed.
    OSError if it cannot be started.
    """
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=cwd,
        env={name: value for name, value in environ.items() if name != "BASH_ENV"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            return Printed(None, b"", _rest(process))
        except BaseException:
            _kill(process)
            raise
    return Printed(process.returncode, stdout, stderr)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _rest(process: subprocess.Popen[bytes]) -> bytes:
    """What it said before it was killed; nothing where a process of another group holds its output open still."""
    try:
        return process.communicate(timeout=_DRAIN_S)[1]
    except subprocess.TimeoutExpired:
        return b""
