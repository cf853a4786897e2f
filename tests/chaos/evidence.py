"""What a run left behind, read without Penstock: its journal as it was at a kill, its files, its items' own marks."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.terminal import Project, jsonl

Task = tuple[str, str]
"""A step and the key of an item."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What an item's own program wrote: `begin` or `end`, of which try at which task, by whom and when."""

    word: str
    step: str
    key: str
    attempt: int
    pid: int
    at: float

    @property
    def task(self) -> Task:
        """The task, whichever try it was."""
        return self.step, self.key


@dataclass(frozen=True, slots=True)
class Past:
    """What the journal held at one moment. `marks` is how many marks there were, `state` None where no run had begun.

    `outcomes` has each current outcome by step and place: its number, verdict and record.
    """

    state: str | None
    marks: int
    outcomes: dict[tuple[str, int], tuple[int, str, bytes | None]]
    settled_marks: frozenset[Task]
    log: tuple[tuple[str, int | None, str], ...] = ()
    written: tuple[tuple[str, int | None, str], ...] = ()
    accounts: tuple[tuple[str, int, int, int], ...] = ()

    def faults(self) -> Iterator[str]:
        """What does not hold within this one journal and its log."""
        if self.log != self.written:
            missing, extra = Counter(self.log) - Counter(self.written), Counter(self.written) - Counter(self.log)
            yield f"log.jsonl is not the journal: it lacks {list(missing)[:3]}, it has {list(extra)[:3]} too many"
        for step, tasks, outcomes, total in self.accounts:
            if not tasks == outcomes == total:
                yield f"step {step}: {tasks} tasks, {outcomes} outcomes, {total} counted"

    def lost_by(self, later: Past) -> Iterator[str]:
        """Outcomes that were there and are not, or not as they were."""
        changed = {place: known for place, known in self.outcomes.items() if later.outcomes.get(place) != known}
        if changed:
            yield f"{len(changed)} outcomes were in the journal and are another or gone: {list(changed.items())[:3]}"


def past(folder: Path, marks_file: Path) -> Past:
    """The newest run of a folder as its journal has it now. A copy is read: what a crash left stays as it is."""
    journal = folder / ".penstock" / "journal.db"
    count = len(marks(marks_file))
    if not journal.exists():
        return Past(None, count, {}, frozenset())
    with tempfile.TemporaryDirectory() as copied:
        for name in ("journal.db-wal", "journal.db"):
            if journal.with_name(name).exists():
                shutil.copyfile(journal.with_name(name), Path(copied) / name)
        connection = sqlite3.connect(Path(copied) / "journal.db")
        try:
            return _read(connection, folder, count)
        except sqlite3.OperationalError:  # killed before the schema was made
            return Past(None, count, {}, frozenset())
        finally:
            connection.close()


def _read(connection: sqlite3.Connection, folder: Path, count: int) -> Past:
    run = connection.execute("SELECT run_no, run_id, state FROM runs ORDER BY run_no DESC LIMIT 1").fetchone()
    if run is None:
        return Past(None, count, {}, frozenset())
    number, run_id, state = run
    rows = connection.execute(
        "SELECT s.step_id, o.i, o.outcome_no, o.verdict, o.record, t.hash, t.occurrence FROM steps s"
        " JOIN outcomes o ON o.step_no = s.step_no JOIN tasks t ON t.task_no = o.task_no"
        " WHERE s.run_no = ? AND o.current = 1 ORDER BY o.outcome_no",
        (number,),
    ).fetchall()
    accounts = connection.execute(
        "SELECT s.step_id, (SELECT count(*) FROM tasks t WHERE t.step_no = s.step_no AND t.current = 1),"
        " (SELECT count(*) FROM outcomes o WHERE o.step_no = s.step_no AND o.current = 1), coalesce(s.total, -1)"
        " FROM steps s WHERE s.run_no = ?",
        (number,),
    ).fetchall()
    ends = connection.execute(
        "SELECT s.step_id, e.state, e.ended_after FROM ends e JOIN steps s ON s.step_no = e.step_no"
        " WHERE e.run_no = ? ORDER BY e.end_order",
        (number,),
    ).fetchall()
    return Past(
        state,
        count,
        {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows},
        frozenset((row[0], _key(row[5], row[6])) for row in rows),
        tuple(_expected_log(rows, ends)),
        tuple(_written_log(folder / ".penstock" / "runs" / run_id / "log.jsonl")),
        tuple(accounts),
    )


def _expected_log(
    rows: list[tuple[str, int, int, str, bytes, bytes, int]], ends: list[tuple[str, str, int]]
) -> Iterator[tuple[str, int | None, str]]:
    """One line a finished item in the order of their ends, and one for each step after the last outcome before it."""
    waiting = list(ends)
    for row in rows:
        while waiting and waiting[0][2] < row[2]:
            step, state, _ = waiting.pop(0)
            yield step, None, state
        if row[5] != bytes(16):
            yield row[0], row[1], row[3]
    yield from ((step, None, state) for step, state, _ in waiting)


def _written_log(path: Path) -> Iterator[tuple[str, int | None, str]]:
    for line in jsonl(path) if path.exists() else []:
        place = line["i"]
        yield str(line["step"]), place if isinstance(place, int) else None, str(line["verdict"])


def _key(digest: bytes, occurrence: int) -> str:
    return digest[:8].hex() + (f".{occurrence + 1}" if occurrence else "")


# --- files -------------------------------------------------------------------------------------


def differences(undisturbed: Project, disturbed: Project) -> Iterator[str]:
    """How the files, the records and the summaries of two runs differ."""
    yield from _differing("file", undisturbed.files(), disturbed.files())
    yield from _differing("records", _records(undisturbed), _records(disturbed))
    yield from _differing("summary", _summary(undisturbed), _summary(disturbed))
    yield from _differing("fixture", _fixtures(undisturbed), _fixtures(disturbed))


def _differing(what: str, one: dict[str, bytes], other: dict[str, bytes]) -> Iterator[str]:
    for name in sorted(one.keys() | other.keys()):
        if one.get(name) != other.get(name):
            told = "is missing" if name not in other else "is too many" if name not in one else "differs"
            yield f"{what} {name} {told}"


def _records(project: Project) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (project.run_folder() / "steps").iterdir()}


def _fixtures(project: Project) -> dict[str, bytes]:
    found = (project.folder / "fixtures").rglob("*.json")
    return {path.relative_to(project.folder).as_posix(): _timeless(path) for path in found}


def _timeless(path: Path) -> bytes:
    """A fixture without what differs from run to run."""
    told = json.loads(path.read_bytes())
    tried = [(attempt["number"], attempt["kind"], attempt["reason"]) for attempt in told.pop("attempts")]
    told = {name: told[name] for name in ("step", "verdict", "signature", "reason", "input", "command")}
    return json.dumps([told, tried], sort_keys=True).encode()


def _summary(project: Project) -> dict[str, bytes]:
    value = project.penstock("status", "--json").value["steps"]
    assert isinstance(value, dict)
    return {step: json.dumps(told, sort_keys=True).encode() for step, told in value.items()}


# --- marks -------------------------------------------------------------------------------------


def marks(path: Path) -> list[Mark]:
    """All marks in the order in which they were written."""
    if not path.exists():
        return []
    lines = (line.split() for line in path.read_text().splitlines())
    return [Mark(line[0], line[1], line[2], int(line[3]), int(line[4]), float(line[5])) for line in lines]


def twice_at_once(told: list[Mark]) -> Iterator[str]:
    """Tasks that two processes were at together: one began, and later another, that had begun before it, ended."""
    begun: dict[tuple[Task, int], int] = {}
    for number, mark in enumerate(told):
        if mark.word == "begin":
            begun[mark.task, mark.pid] = number
            continue
        began = begun.get((mark.task, mark.pid))
        between = told[began + 1 : number] if began is not None else []
        if any(other.task == mark.task and other.pid != mark.pid for other in between):
            yield f"{mark.task} ran twice at once"
