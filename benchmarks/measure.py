"""Whole processes, timed and weighed from outside."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PENSTOCK = [str(Path(sys.executable).with_name("penstock"))]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took: wall seconds, processor seconds (its children's included), its own peak memory in MB."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    status: int


def timed(words: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Runs a command to its end in a folder; its output goes to a file beside it. Bytecode is kept, as it is anywhere
    but in images that forbid it."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | dict(env or {})
    with (folder / "bench.out").open("wb") as out:
        start = time.perf_counter()
        process = subprocess.Popen(words, cwd=folder, stdout=out, stderr=out, env=environ)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    scale = 1 if sys.platform == "darwin" else 1024
    peak_mb = usage.ru_maxrss * scale / 1e6
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, peak_mb, process.returncode)


def must(cost: Cost, folder: Path) -> Cost:
    """The cost of a command that succeeded; RuntimeError with its last words otherwise."""
    if cost.status != 0:
        raise RuntimeError((folder / "bench.out").read_text(errors="replace")[-2000:])
    return cost


def median(values: Sequence[float]) -> float:
    """The median, which is what is quoted."""
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """`1.21 (1.18 to 1.30)`: median, least and most."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def folder_bytes(folder: Path) -> int:
    """Bytes on disk of everything below a folder."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def fresh(folder: Path) -> Path:
    """A new folder beside the ones that were made before.

    None is fresh and used again: for a minute after a file was deleted ext4 passes over its inode, one by one, at
    each new file (`recently_deleted` in fs/ext4/ialloc.c), which makes files cost ten times what they do.
    """
    number = 1
    while (made := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    made.mkdir(parents=True)
    return made


def machine() -> list[str]:
    """What this was measured on, as lines of Markdown."""
    bash = subprocess.run(["bash", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        f"- {platform.system()} {platform.release()}, {platform.machine()}, {cores} processors",
        f"- Python {platform.python_version()}, {bash}",
        f"- load when it began: {os.getloadavg()[0]:.2f}",
    ]
