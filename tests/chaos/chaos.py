"""Kills Penstock at random moments, resumes until it is done, and compares with a run that nobody disturbed.

    python -m tests.chaos.chaos --kills 50 --seed 1

Two subjects: the shipped example, and a foreach over many rows with an append target, a file an item, retries and a
step that streams from it, whose own program marks what it begins and ends in a file outside the folder. Ways to kill:
the process group, Penstock alone, its supervisor before it, both at once; while it starts, works, resumes and ends.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.evidence import Mark, Past, differences, marks, past, twice_at_once
from tests.processes import kill_all, soon, started_by_runs, supervisors
from tests.terminal import Project, example

CONCURRENCY = 4
STEPS = ("work", "after")
UNENDED = ("running", "interrupted", "waiting")

ITEM = """\
# item.sh STEP KEY ATTEMPT N: marks what it begins and ends; some are slow, some say no, some fail once, some always.
mark() { echo "$1 $step $key $attempt $$ $EPOCHREALTIME" >> "$MARKS"; }
step=$1 key=$2 attempt=$3 n=$4
mark begin
if (( n % 97 == 5 )); then sleep 0.7; elif (( n % 5 == 0 )); then sleep 0.02; fi
if (( n % 31 == 7 && attempt == 1 )); then mark end; exit 1; fi
if (( n % 53 == 9 )); then mark end; exit 3; fi
if (( n % 23 == 3 )); then ok='"ok": false, '; else ok=; fi
echo "{$ok\\"n\\": $n, \\"key\\": \\"$key\\", \\"text\\": \\"물 $n\\"}"
mark end
"""

WORKFLOW = """\
name: Chaos
version: 1
steps:
  - id: work
    foreach: rows.jsonl
    concurrency: 4
    max_failures: 10%
    retry: {attempts: 2, on: [exit], backoff: {base: 1ms, cap: 1ms}}
    run: bash item.sh work "{{key}}" "{{attempt}}" "{{item.n}}" | tee -a logs/all.jsonl > "out/{{i}}.json"
  - id: after
    foreach: steps.work.accepted
    concurrency: 4
    max_failures: 10%
    run: bash item.sh after "{{key}}" "{{attempt}}" "{{item.n}}" >> logs/after.jsonl
  - id: sum
    needs: [after]
    run: cat logs/all.jsonl logs/after.jsonl | wc -l > sum.txt
"""


class Subject:
    """A folder in which a workflow is run and killed, and what an undisturbed run of it leaves."""

    def __init__(self, folder: Path, name: str, rows: int) -> None:
        self.name = name
        self._folder = folder
        self._rows = rows
        self._made = 0
        self.reference = self.fresh()
        said = self.reference.penstock("run", "--json", "--quiet")
        assert said.status == 0, said
        self.seconds = float(str(said.value["seconds"]))

    def fresh(self) -> Project:
        """A new folder in which nothing has run; marks go to a file beside it."""
        self._made += 1
        folder = self._folder / f"{self.name}{self._made}"
        project = example(folder) if self.name == "example" else _many(folder, self._rows)
        project.environ["MARKS"] = str(marks_of(project))
        return project


def marks_of(project: Project) -> Path:
    """Where a project's items leave their marks."""
    return project.folder.with_name(f"{project.folder.name}.marks")


def _many(folder: Path, count: int) -> Project:
    project = Project(folder)
    project.write("workflow.yaml", WORKFLOW)
    project.write("item.sh", ITEM)
    numbers = (n - 1 if n % 40 == 20 else n for n in range(count))  # some rows are there twice
    project.write("rows.jsonl", "".join(f'{{"n": {n}, "name": "O\\u0027Brien \\"x\\" {n}"}}\n' for n in numbers))
    return project


@dataclass(slots=True)
class Report:
    """What a storm came to. `faults` is empty if every promise was kept."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    begun_twice: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ways = ", ".join(f"{count} {way}" for way, count in sorted(self.kills.items()))
        told = f"seed {self.seed}: {self.kills.total()} kills ({ways}) over {self.runs} runs"
        return f"{told}, {self.begun_twice} items begun twice, {len(self.faults)} faults"


def storm(subject: Subject, kills: int, seed: int) -> Report:
    """Runs the subject again and again until it was killed so often; each run is resumed until it is done."""
    report = Report(seed)
    chance = random.Random(seed)
    while report.kills.total() < kills:
        report.runs += 1
        _one_run(subject, report, chance, kills)
        if report.faults:
            break
    return report


def _one_run(subject: Subject, report: Report, chance: random.Random, most: int) -> None:
    project = subject.fresh()
    before: list[Past] = []
    killed = 0
    while report.kills.total() < most:
        way = chance.choices(["group", "alone", "supervisor first", "both"], [70, 10, 10, 10])[0]
        ended = _life(project, way, _delay_s(subject, chance), report)
        before.append(past(project.folder, marks_of(project)))
        if ended:
            break
        killed += 1
        report.kills[way] += 1
    status = _finish(project)
    report.faults += [f"{project.folder.name}: {fault}" for fault in _judge(subject, project, before, killed, status)]
    report.begun_twice += _begun_twice(marks(marks_of(project)))


def _delay_s(subject: Subject, chance: random.Random) -> float:
    """When to kill: while it starts, in the midst, or anywhere up to its end."""
    starting, working, anywhere = chance.uniform(0, 0.5), chance.uniform(0.3, 2.0), chance.uniform(0, subject.seconds)
    return chance.choices([starting, working, anywhere], [25, 60, 15])[0]


def _life(project: Project, way: str, delay_s: float, report: Report) -> bool:
    """One life of the run, ended by a kill; whether it came to its end before that."""
    process = _start(project, "--quiet")
    with suppress(subprocess.TimeoutExpired):
        process.wait(delay_s)
        return True
    watching = supervisors(project.folder)
    if way == "supervisor first":
        kill_all(watching)
        time.sleep(delay_s % 0.1)
        _kill_group(process)
    elif way == "both":
        kill_all([*watching, process.pid])
    elif way == "alone":
        kill_all([process.pid])
    else:
        _kill_group(process)
    process.wait()
    if way in ("group", "alone") and not soon(lambda: not started_by_runs(project.folder), 2.0):
        report.faults.append(f"alive two seconds after a kill ({way}): {started_by_runs(project.folder)}")
    return False


def _start(project: Project, *words: str) -> subprocess.Popen[bytes]:
    """`run` in a folder without a run, else `resume`; in a group of its own."""
    runs = past(project.folder, marks_of(project)).state is not None
    with project.folder.with_name(f"{project.folder.name}.err").open("ab") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "penstock", "resume" if runs else "run", *words],
            cwd=project.folder,
            env=project.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _finish(project: Project) -> int:
    """Resumes until there is nothing left to do; the last exit status."""
    for _ in range(3):
        if past(project.folder, marks_of(project)).state in (None, *UNENDED):
            _start(project, "--quiet").wait()
    return project.penstock("status", "--json").status


# --- what must hold ----------------------------------------------------------------------------


def _judge(subject: Subject, project: Project, before: list[Past], kills: int, status: int) -> Iterator[str]:
    end = past(project.folder, marks_of(project))
    if status != 0 or end.state != "succeeded":
        yield f"it ended {end.state}"
        return
    yield from differences(subject.reference, project)
    yield from end.faults()
    for known in before:
        yield from known.lost_by(end)
    told = marks(marks_of(project))
    yield from twice_at_once(told)
    for step in STEPS:
        most = kills * CONCURRENCY
        twice = _begun_twice([mark for mark in told if mark.step == step])
        if twice > most:
            yield f"{twice} items of {step} were begun twice, and {kills} kills allow {most}"
    for known in before:
        again = {mark.task for mark in told[known.marks :] if mark.word == "begin"} & known.settled_marks
        if again:
            yield f"begun again though their outcome was in the journal: {sorted(again)[:5]}"
    if not soon(lambda: not started_by_runs(project.folder) and not supervisors(project.folder)):
        yield f"alive after the end: {started_by_runs(project.folder)} {supervisors(project.folder)}"


def _begun_twice(told: list[Mark]) -> int:
    begun = Counter((mark.step, mark.key, mark.attempt) for mark in told if mark.word == "begin")
    return sum(count - 1 for count in begun.values())


def main() -> int:
    """The long form, from the command line; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="for each of the two subjects")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 16))
    parser.add_argument("--only", choices=["rows", "example"])
    parser.add_argument("--keep", action="store_true", help="leave the folders behind")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-")).resolve()
    faults = 0
    for name in ("rows", "example"):
        if asked.only in (None, name):
            began = time.monotonic()
            print(f"{name}: seed {asked.seed}", flush=True)
            report = storm(Subject(folder, name, asked.rows), asked.kills, asked.seed)
            print(f"{name}: {report} in {time.monotonic() - began:.0f} s", *report.faults, sep="\n  ", flush=True)
            faults += len(report.faults)
    if asked.keep or faults:
        print(json.dumps({"folder": str(folder)}))
    else:
        shutil.rmtree(folder)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
