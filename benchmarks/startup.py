"""How long the small commands take, over what Python itself takes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from benchmarks.measure import PENSTOCK, fresh, median, must, timed

EXAMPLE = Path(__file__).parent.parent / "examples" / "summaries"


def lines(folder: Path, rounds: int) -> list[str]:
    """Milliseconds of each command, and what it adds to `python -c pass`, as medians of so many rounds."""
    room = fresh(folder / "startup") / "summaries"
    shutil.copytree(EXAMPLE, room, ignore=shutil.ignore_patterns(".penstock", "fixtures", "logs", ".cache"))
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "penstock --version": [*PENSTOCK, "--version"],
        "penstock check (the example)": [*PENSTOCK, "check"],
        "penstock plan (the example)": [*PENSTOCK, "plan"],
    }
    walls: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, words in commands.items():
            walls[name].append(must(timed(words, room), room).wall_s * 1e3)
    floor = median(walls["python -c pass"][1:])
    table = ["| | ms | over python |", "|---|---|---|"]
    return table + [
        f"| {name} | {median(wall[1:]):.0f} | {median(wall[1:]) - floor:.0f} |" for name, wall in walls.items()
    ]
