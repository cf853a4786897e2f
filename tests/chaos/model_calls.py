"""Kills a run that asks a model at random moments, resumes it until it is done, and compares with the server's count.

    python -m tests.chaos.model_calls --kills 50 --seed 1

The server is a process of its own, which a kill does not touch: what it was sent, and what it bills for, is its own
count. After each kill the journal is read as it was left, and what `status` and then `resume` say of it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.model_server import ModelServer, Script
from tests.terminal import HERE, Project, jsonl

AT_ONCE = 64
INPUT, OUTPUT = 1, 300
ANSWER = {"text": "$prompt", "hash": "$hash"}
LIMIT = 60
_SETTLING_S = 0.02

WORKFLOW = """\
name: Model calls
budget: {{cost_usd: 1000000}}
models: {{house: {{model: openai/house-1, base_url: {url}/v1, price: {{input: {input}, output: {output}}}}}}}
steps:
  - id: ask
    foreach: rows.jsonl
    concurrency: {at_once}
    generate:
      model: house
      prompt: 'Answer ticket {{{{ item.n }}}}.'
      params: {{max_tokens: {limit}}}
      schema: {{type: object, required: [text, hash]}}
"""

_IN_FLIGHT = re.compile(r"(\d+) model calls? (?:was|were) in flight when Penstock died: at most \$([\d.]+) may")
_EXPOSED = re.compile(r"exposed at most \$([\d.,]+) more may be billed for ([\d,]+) calls?")


@dataclass(frozen=True, slots=True)
class Left:
    """What a kill left in the journal: calls without an end, their worst cases, and what the others cost or may have.

    Money is micro-dollars. `newest` is the number of the newest call, `answered` are the calls with an answer that is
    in the journal, `lost` those that a later life has given up.
    """

    in_flight: int = 0
    newest: int = 0
    worst: int = 0
    spent: int = 0
    exposed: int = 0
    answered: int = 0
    lost: int = 0
    state: str | None = None


def left(project: Project, after: int = 0) -> Left:
    """The journal as it is now, read from a copy, so that what a crash left stays as it is.

    Calls up to number `after` were in flight at an earlier kill, if they still have no end: they do not count again.
    """
    journal = project.folder / ".penstock" / "journal.db"
    with tempfile.TemporaryDirectory() as copied:
        for name in ("journal.db-wal", "journal.db"):
            if journal.with_name(name).exists():
                shutil.copyfile(journal.with_name(name), Path(copied) / name)
        with closing(sqlite3.connect(Path(copied) / "journal.db")) as connection:
            try:
                return Left(*connection.execute(_LEFT, (after,)).fetchone())
            except sqlite3.OperationalError:  # killed before the schema was made
                return Left()


_LEFT = """
WITH open AS (SELECT call_no, worst_micros FROM calls WHERE call_no NOT IN (SELECT call_no FROM call_ends))
SELECT (SELECT count(*) FROM open WHERE call_no > ?), (SELECT coalesce(max(call_no), 0) FROM calls),
       (SELECT coalesce(sum(worst_micros), 0) FROM open),
       (SELECT coalesce(sum(cost_micros), 0) FROM call_ends WHERE cached = 0),
       (SELECT coalesce(sum(exposed_micros), 0) FROM call_ends WHERE cached = 0),
       (SELECT count(*) FROM call_ends WHERE cached = 0 AND status = 200),
       (SELECT count(*) FROM call_ends WHERE kind = 'lost'),
       (SELECT state FROM runs ORDER BY run_no DESC LIMIT 1)
"""


@dataclass(frozen=True, slots=True)
class Served:
    """What the server has had and what it bills for, in micro-dollars."""

    requests: int
    distinct: int
    billed: int


def served(server: ModelServer) -> Served:
    """The server's count, once nothing of a dead client's is on its way to it any more."""
    found = _served(server)
    time.sleep(_SETTLING_S)
    while found != (now := _served(server)):
        found = now
        time.sleep(_SETTLING_S)
    return found


def _served(server: ModelServer) -> Served:
    counts = server.counts()
    billed = counts["input_tokens"] * INPUT + counts["output_tokens"] * OUTPUT
    return Served(counts["requests"], counts["distinct"], billed)


@dataclass(slots=True)
class Report:
    """What a storm came to. `faults` is empty if every promise was kept.

    `in_flight` and `again` count calls, at the kills and those sent a second time; `stated` and `unheard` are the
    dollars that were stated for them, and those that the server billed for them.
    """

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    rows: int = 0
    in_flight: int = 0
    again: int = 0
    stated: float = 0.0
    unheard: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ways = ", ".join(f"{count} {way}" for way, count in sorted(self.kills.items()))
        return (
            f"seed {self.seed}: {self.kills.total()} kills ({ways}) over {self.runs} runs of {self.rows} rows, "
            f"{self.in_flight} calls in flight at them, {self.again} sent again; ${self.stated:.6f} stated for "
            f"${self.unheard:.6f} billed and unheard of; {len(self.faults)} faults"
        )


def storm(folder: Path, rows: int, kills: int, seed: int) -> Report:
    """Runs of so many rows, each resumed until it is done, until there were so many kills."""
    report = Report(seed, rows=rows)
    chance = random.Random(seed)
    while report.kills.total() < kills and not report.faults:
        report.runs += 1
        script = Script(answer=ANSWER, latency_ms=chance.uniform(20, 50))
        with ModelServer(script) as server:
            project = _project(folder / f"run{report.runs}", server, rows)
            _one_run(project, server, report, chance, kills)
    return report


def _project(folder: Path, server: ModelServer, rows: int) -> Project:
    project = Project(folder)
    text = WORKFLOW.format(url=server.url, input=INPUT, output=OUTPUT, at_once=AT_ONCE, limit=LIMIT)
    project.write("workflow.yaml", text)
    project.write("rows.jsonl", "".join(f'{{"n": {n}}}\n' for n in range(rows)))
    return project


def _one_run(project: Project, server: ModelServer, report: Report, chance: random.Random, most: int) -> None:
    """One run to its end, with up to ten kills on its way."""
    in_flight, kills, newest = 0, 0, 0
    while report.kills.total() < most and kills < 10:
        way = chance.choices(["alone", "group"], [70, 30])[0]
        moment = chance.randint(0, report.rows // 3) if chance.random() < 0.8 else -1
        if not _life(project, server, way, moment, chance.uniform(0, 0.6)):
            break
        kills += 1
        report.kills[way] += 1
        known, count = left(project, newest), served(server)
        newest = known.newest
        in_flight += known.in_flight
        report.in_flight += known.in_flight
        faults = [*_at_a_kill(known, count, in_flight), *_said_by_status(project, known, count)]
        report.faults += [f"{project.folder.name}, kill {kills} ({way}): {fault}" for fault in faults]
    report.faults += [f"{project.folder.name}: {fault}" for fault in _at_the_end(project, server, report, in_flight)]


def _life(project: Project, server: ModelServer, way: str, moment: int, delay_s: float) -> bool:
    """One life, ended by a kill after so many more requests, or if -1 after a time; False if it ended before that."""
    begun = server.counts()["requests"]
    process = _start(project)
    until = time.monotonic() + (delay_s if moment < 0 else 60)
    while process.poll() is None and time.monotonic() < until:
        if 0 <= moment <= server.counts()["requests"] - begun:
            break
        time.sleep(0.002)
    alive = process.poll() is None
    with suppress(ProcessLookupError):
        if way == "group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    return alive


def _start(project: Project) -> subprocess.Popen[bytes]:
    """`run` in a folder without a run, else `resume`, in a group of its own; what it says goes to a file beside it."""
    command = "run" if _is_new(project) else "resume"
    with project.folder.with_name(f"{project.folder.name}.err").open("ab") as said:
        return subprocess.Popen(
            [str(HERE / "penstock"), command],
            cwd=project.folder,
            env=project.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )


def _is_new(project: Project) -> bool:
    """Whether no run has begun in the folder."""
    return not (project.folder / ".penstock" / "journal.db").exists() or left(project).state is None


# --- what must hold ----------------------------------------------------------------------------


def _at_a_kill(known: Left, count: Served, in_flight: int) -> Iterator[str]:
    if known.in_flight > AT_ONCE:
        yield f"{known.in_flight} calls have no end, and {AT_ONCE} may be in flight"
    if count.requests - count.distinct > in_flight:
        yield f"{count.requests - count.distinct} requests came again, and {in_flight} calls were in flight at kills"
    if count.requests > known.answered + in_flight:
        yield f"{count.requests} requests came, and the journal knows of {known.answered} answers"
    if count.billed > known.spent + known.exposed + known.worst:
        most = known.spent + known.exposed + known.worst
        yield f"the server billed {count.billed} micro-dollars, and the journal bounds them by {most}"


def _said_by_status(project: Project, known: Left, count: Served) -> Iterator[str]:
    """`status` states what may have been billed beyond what is known."""
    said = project.penstock("status")
    found = _EXPOSED.search(said.out)
    stated = round(float(found[1].replace(",", "")) * 1e6) if found else 0
    if known.state is not None and count.billed > known.spent + stated:
        yield f"{count.billed} micro-dollars were billed, {known.spent} are known, and status states {stated}: {said}"


def _at_the_end(project: Project, server: ModelServer, report: Report, in_flight: int) -> Iterator[str]:
    open_calls = left(project)
    status = 0 if open_calls.state == "succeeded" else _start(project).wait()
    known, count = left(project), served(server)
    report.again += count.requests - count.distinct
    report.stated += known.exposed / 1e6
    report.unheard += (count.billed - known.spent) / 1e6
    told = project.folder.with_name(f"{project.folder.name}.err").read_text()
    if status != 0 or known.state != "succeeded":
        yield f"it ended {known.state} with status {status}: {told[-600:]}"
        return
    if count.distinct != report.rows or count.requests - report.rows > in_flight:
        yield f"{count.requests} requests, {count.distinct} distinct, {in_flight} calls were in flight at kills"
    if (known.in_flight, known.lost) != (0, in_flight):
        yield f"{in_flight} calls were in flight at kills, {known.lost} are lost and {known.in_flight} have no end"
    stated = [(int(found[1]), round(float(found[2]) * 1e6)) for found in _IN_FLIGHT.finditer(told)]
    if open_calls.worst and stated[-1:] != [(open_calls.in_flight, open_calls.worst)]:
        yield f"the last `resume` stated {stated[-1:]}, and {open_calls} was left to it"
    if not known.spent <= count.billed <= known.spent + known.exposed:
        yield f"the server billed {count.billed}, known are {known.spent}, and {known.exposed} are exposed"
    yield from _said_by_status(project, known, count)
    yield from _accounting(project, report.rows)


def _accounting(project: Project, rows: int) -> Iterator[str]:
    """Each row is accepted once, with the answer to its own question; each call has its line in the call log."""
    texts = [line["record"]["text"] for line in _lines(project, "steps/ask.jsonl")]
    if texts != [f"Answer ticket {n}." for n in range(rows)]:
        yield f"{len(texts)} records for {rows} rows, or not in their order, or another row's"
    places = Counter(line["i"] for line in _lines(project, "log.jsonl") if line["i"] is not None)
    if places != Counter(range(rows)):
        yield f"rows in the log more than once, or not at all: {list((places - Counter(range(rows))).items())[:5]}"
    bought = Counter(
        line["i"] for line in _lines(project, "calls.jsonl") if line["status"] == 200 and not line["cached"]
    )
    if bought != Counter(range(rows)):
        yield f"rows whose answer was bought twice: {[i for i, count in bought.items() if count > 1][:5]}"
    summary: Any = project.penstock("status", "--json").value["steps"]
    if (summary["ask"]["total"], summary["ask"]["accepted"]) != (rows, rows):
        yield f"counted: {summary['ask']}"


def _lines(project: Project, name: str) -> list[Any]:
    return list(jsonl(project.run_folder() / name))


def main() -> int:
    """The long form, from the command line; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 16))
    parser.add_argument("--keep", action="store_true", help="leave the folders behind")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="model-calls-")).resolve()
    began = time.monotonic()
    print(f"seed {asked.seed}", flush=True)
    report = storm(folder, asked.rows, asked.kills, asked.seed)
    print(f"{report} in {time.monotonic() - began:.0f} s", *report.faults, sep="\n  ", flush=True)
    if asked.keep or report.faults:
        print(json.dumps({"folder": str(folder)}))
    else:
        shutil.rmtree(folder)
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
