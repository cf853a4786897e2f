"""Many rows: the memory of the real program does not grow with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.terminal import HERE, Project

MIB = 1 << 20
MOST_MORE_BYTES = 40 * MIB
"""What twenty times as many rows may cost: the allocator's own, the page cache of SQLite."""

KEPT = 100

STEPS = """\
steps:
  - id: few
    foreach: data/rows.jsonl
    where: item.keep
    run: printf '{"n":%s}' "{{item.n}}" | tee -a log.jsonl
  - id: after
    foreach: steps.few
    where: item.n >= 0
    run: cat
"""


def peak_bytes(project: Project) -> int:
    """The most memory that `penstock run` had resident."""
    words = [str(HERE / "penstock"), "run", "--quiet", "--json"]
    process = subprocess.Popen(words, cwd=project.folder, env=project.environ, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def many_rows(folder: Path, count: int) -> Project:
    """A project of so many rows of 300 bytes, of which a hundred are kept."""
    project = Project(folder)
    every = count // KEPT
    rows = (json.dumps({"n": n, "keep": n % every == 0, "text": f"{n:08}" * 30}) for n in range(count))
    project.write("data/rows.jsonl", "\n".join(rows))
    project.workflow(STEPS)
    return project


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    few, many = many_rows(tmp_path / "few", 5_000), many_rows(tmp_path / "many", 100_000)
    first, second = peak_bytes(few), peak_bytes(many)
    assert second - first < MOST_MORE_BYTES, f"{first / MIB:.0f} MiB for 5,000 rows, {second / MIB:.0f} for 100,000"
    assert (many.folder / "data/rows.jsonl").stat().st_size > 2 * MOST_MORE_BYTES // 3
    for project, count in ((few, 5_000), (many, 100_000)):
        steps = project.succeeds("status", "--json").value["steps"]
        assert isinstance(steps, dict)
        told = {name: (step["total"], step["accepted"], step["skipped"]) for name, step in steps.items()}
        assert told == {"few": (count, KEPT, count - KEPT), "after": (KEPT, KEPT, 0)}
    assert many.read("log.jsonl") == "".join(f'{{"n":{n}}}' for n in range(0, 100_000, 1000))
