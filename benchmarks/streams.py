"""Memory over the number of rows, and how quickly finished work is passed over."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from benchmarks.measure import PENSTOCK, Cost, fresh, must, spread, timed

ROWS = 10_000
FILTER = """\
name: Filter
steps:
  - id: keep
    foreach: rows.jsonl
    where: item.n % STRIDE == 0
    run: "true"
"""
CACHED = """\
name: Cached
steps:
  - id: each
    foreach: rows.jsonl
    cache: true
    run: "true"
"""
LAST = """\
name: Last
steps:
  - id: each
    foreach: rows.jsonl
    run: test {{i}} -lt 9999 || test -e go || sleep 600
"""


def memory(folder: Path, counts: tuple[int, ...]) -> list[str]:
    """Peak memory of Penstock for so many rows, of which 100 are run and the others skipped by `where`."""
    table = ["| rows | peak MB | seconds | rows a second | disk, bytes a row |", "|---|---|---|---|---|"]
    for count in counts:
        room = fresh(folder / "memory")
        _rows(room, count)
        (room / "workflow.yaml").write_text(FILTER.replace("STRIDE", str(count // 100)))
        cost = must(timed([*PENSTOCK, "run", "--quiet"], room), room)
        journal = (room / ".penstock" / "journal.db").stat().st_size / count
        table.append(
            f"| {count:,} | {cost.peak_mb:.1f} | {cost.wall_s:.1f} | {count / cost.wall_s:,.0f} | {journal:,.0f} |"
        )
    return table


def finished(folder: Path, rounds: int) -> list[str]:
    """Seconds to resume a run of 10,000 items in which nothing is left to do, and to run again with `cache: true`."""
    resumed, again = [], []
    for _ in range(rounds):
        resumed.append(_resume(fresh(folder / "resume")).wall_s)
        again.append(_again(fresh(folder / "cached")).wall_s)
    return [
        "| 10,000 finished items | seconds |",
        "|---|---|",
        f"| resume, with one item left that does nothing | {spread(resumed)} |",
        f"| run again with `cache: true` | {spread(again)} |",
    ]


def _resume(room: Path) -> Cost:
    """Kills a run when all of its items but the last have ended, and resumes it."""
    _rows(room, ROWS)
    (room / "workflow.yaml").write_text(LAST)
    process = subprocess.Popen([*PENSTOCK, "run", "--quiet"], cwd=room, start_new_session=True)
    log = _appears(room / ".penstock" / "runs", "*/log.jsonl")
    while sum(1 for _ in log.open("rb")) < ROWS - 1:
        time.sleep(0.2)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(0.5)
    (room / "go").touch()
    return must(timed([*PENSTOCK, "resume", "--quiet"], room), room)


def _again(room: Path) -> Cost:
    _rows(room, ROWS)
    (room / "workflow.yaml").write_text(CACHED)
    must(timed([*PENSTOCK, "run", "--quiet"], room), room)
    return must(timed([*PENSTOCK, "run", "--quiet"], room), room)


def _rows(room: Path, count: int) -> None:
    with (room / "rows.jsonl").open("w") as file:
        file.writelines(
            f'{{"n": {n}, "text": "row number {n} of this file, with some words in it"}}\n' for n in range(count)
        )


def _appears(folder: Path, pattern: str) -> Path:
    """The first file of that pattern, once it is there."""
    while not (found := list(folder.glob(pattern))):
        time.sleep(0.05)
    return found[0]
