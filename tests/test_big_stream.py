"""Many rows: the memory of the real program does not grow with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.terminal import HERE, Project

MIB = 1 << 20
MOST_MORE_BYTES = 20 * MIB
"""What twenty times as many rows may cost: the page cache of SQLite, mostly. The rows themselves are 30 MB."""

# A process counts what its parent had resident when it was started as its own, so a small one starts it.
MEASURE = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss)
"""

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
    words = [sys.executable, "-c", MEASURE, str(HERE / "penstock"), "run", "--quiet"]
    done = subprocess.run(words, cwd=project.folder, env=project.environ, stdout=subprocess.PIPE, check=True)
    status, peak = map(int, done.stdout.split())
    assert status == 0
    return peak * (1 if sys.platform == "darwin" else 1024)


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
    assert (many.folder / "data/rows.jsonl").stat().st_size > MOST_MORE_BYTES
    for project, count in ((few, 5_000), (many, 100_000)):
        steps = project.succeeds("status", "--json").value["steps"]
        assert isinstance(steps, dict)
        told = {name: (step["total"], step["accepted"], step["skipped"]) for name, step in steps.items()}
        assert told == {"few": (count, KEPT, count - KEPT), "after": (KEPT, KEPT, 0)}
    assert many.read("log.jsonl") == "".join(f'{{"n":{n}}}' for n in range(0, 100_000, 1000))
