"""`log.jsonl`, `calls.jsonl`, `steps/STEP.jsonl` and the append targets, held against what the journal would write.

Journal and file are walked side by side, a page of outcomes and a line at a time: memory does not grow
with the run. Of a step that has not ended, only as much is compared as the journal says was written: what a crash
left beyond that is cut off by `resume`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from penstock.core.states import ENDED
from penstock.store import call_log, logs
from penstock.store.audit.finding import Finding, note, ok, problem
from penstock.store.call_facts import in_flight
from penstock.store.database import Database, Row
from penstock.store.derived import KEPT, own_name, record_line
from penstock.store.journal import Journal
from penstock.store.layout import Layout

PAGE = 256
CHUNK = 1 << 20
REBUILD = "`penstock doctor --rebuild` writes it anew from the journal"
CHANGED = "if you changed it on purpose, move it away before the next run; else put it back"


@dataclass(frozen=True, slots=True)
class Expected:
    """A derived file: what it must hold after `start` bytes, and how long it was when the journal last heard of it.

    `size` is None where the journal has never heard of it; `whole` tells that nothing more can come; `help` what to do
    about a difference.
    """

    name: str
    path: Path
    parts: Iterable[bytes]
    size: int | None
    whole: bool
    start: int = 0
    help: str = REBUILD


def log_file(database: Database, layout: Layout, run: Row) -> Expected:
    """The log of a run."""
    stood = database.one("derived_of", (run["run_no"], logs.LOG))
    whole = all(step["state"] in _ENDED for step in database.all("steps_of", {"run_no": run["run_no"]}))
    lines = logs.lines(database, run["run_no"], run["run_id"])
    return Expected("log.jsonl", layout.run(run["run_id"]).log, lines, _bytes(stood), whole)


def calls_file(database: Database, layout: Layout, run: Row) -> Expected | None:
    """The log of a run's model calls; None for a run that asked no model."""
    stood = database.one("derived_of", (run["run_no"], call_log.CALLS))
    if stood is None and database.one("run_asks", (run["run_no"],)) is None:
        return None
    steps = database.all("steps_of", {"run_no": run["run_no"]})
    whole = all(step["state"] in _ENDED for step in steps) and not in_flight(database, run["run_no"])
    lines = call_log.lines(database, run["run_no"], run["run_id"])
    return Expected("calls.jsonl", layout.run(run["run_id"]).calls, lines, _bytes(stood), whole)


def records_file(database: Database, layout: Layout, run: Row, step: Row) -> Expected:
    """The records of one step of a run."""
    stood = database.one("derived_of", (run["run_no"], own_name(step["step_id"])))
    path = layout.run(run["run_id"]).steps / f"{step['step_id']}.jsonl"
    lines = (record_line(row) for row in _records(database, step["step_no"]))
    return Expected(f"steps/{step['step_id']}.jsonl", path, lines, _bytes(stood), step["state"] in _ENDED)


def append_file(database: Database, layout: Layout, run: Row, step: Row, file: Row, piece: int) -> Expected:
    """An append target: the pieces numbered `piece` of its step. `file` is its row; it may lie in the run's folder."""
    stood = database.one("derived_of", (run["run_no"], file["path"]))
    folder = layout.run(run["run_id"])
    path = (folder.files if file["state"] == "moved" else layout.folder) / file["path"]
    parts = _pieces(database, step["step_no"], piece, folder.root)
    return Expected(file["path"], path, parts, _bytes(stood), step["state"] in _ENDED, file["foreign_bytes"], CHANGED)


def compare(expected: Expected) -> Finding:
    """Whether the file holds what the journal would write, as far as that has been written."""
    if expected.size is None and not expected.whole:
        return ok(expected.name, "not begun")
    try:
        with expected.path.open("rb") as file:
            return _compared(expected, file, os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        if next(iter(expected.parts), None) is None:
            return ok(expected.name, "nothing to write")
        return _wrong(expected, "it is gone")
    except OSError as error:
        return problem(expected.name, f"cannot be read: {error.strerror}", f"mend that: {expected.path}")


def rebuild_log(journal: Journal, layout: Layout, run: Row) -> None:
    """The log is what the journal knows by now, and the journal knows how long it is."""
    expected = log_file(journal.database, layout, run)
    size = _write(expected)
    values = {"run_no": run["run_no"]}
    last, end = (journal.database.one(name, values) for name in ("last_outcome", "last_end"))
    assert last is not None
    assert end is not None
    with journal.together():
        journal.set_derived(run["run_no"], logs.LOG, last[0], size)
        journal.set_derived(run["run_no"], logs.STEPS, end[0], size)


def rebuild_calls(journal: Journal, layout: Layout, run: Row) -> None:
    """The log of calls is what the journal knows by now, and the journal knows how long it is."""
    expected = calls_file(journal.database, layout, run)
    last = journal.database.one("last_call_end", {"run_no": run["run_no"]})
    assert expected is not None
    assert last is not None
    journal.set_derived(run["run_no"], call_log.CALLS, last[0], _write(expected))


def rebuild_records(journal: Journal, layout: Layout, run: Row, step: Row) -> None:
    """The records of a step that has ended are in its file; one that goes on is written anew by `resume`."""
    name = own_name(step["step_id"])
    if step["state"] not in _ENDED:
        journal.database.run("forget_derived", {"run_no": run["run_no"], "path": name})
        return
    size = _write(records_file(journal.database, layout, run, step))
    place = journal.database.one("next_place", (step["step_no"],))
    assert place is not None
    journal.set_derived(run["run_no"], name, place[0], size)


_ENDED = frozenset(state.value for state in ENDED)


def _bytes(stood: Row | None) -> int | None:
    return None if stood is None else int(stood["bytes"])


# --- side by side ------------------------------------------------------------------------------


def _compared(expected: Expected, file: BinaryIO, length: int) -> Finding:
    """The first difference up to where the journal says that the file had come."""
    at, number = expected.start, 0
    until = None if expected.whole else expected.size
    file.seek(at)
    for part in expected.parts:
        if until is not None and at >= until:
            break
        number += 1
        if file.read(len(part)) != part:
            at_end = at + len(part) > length
            return _wrong(expected, f"it ends within part {number}" if at_end else f"part {number} is another")
        at += len(part)
    if until is not None:
        return _of_an_open_step(expected, at, until, length)
    if length > at:
        return _wrong(expected, f"it has {length - at:,} bytes more than the journal's {number:,} parts")
    return ok(expected.name, f"as the journal has it, {number:,} parts")


def _of_an_open_step(expected: Expected, at: int, until: int, length: int) -> Finding:
    if at != until:
        return _wrong(expected, f"the journal says that it came to byte {until:,}, and its rows make {at:,}")
    if length > at:
        return note(expected.name, f"{length - at:,} bytes are not in the journal yet: `penstock resume` mends that")
    return ok(expected.name, "as far as it has come")


def _wrong(expected: Expected, what: str) -> Finding:
    return problem(expected.name, f"{what}, by the journal ({expected.path})", expected.help)


# --- what the journal would write --------------------------------------------------------------


def _records(database: Database, step_no: int) -> Iterator[Row]:
    values = {"step_no": step_no, "from": 0, "most": PAGE}
    while rows := database.all("records_in_order", values):
        yield from rows
        values["from"] = rows[-1]["i"] + 1


def _pieces(database: Database, step_no: int, number: int, run_folder: Path) -> Iterator[bytes]:
    for row in _records(database, step_no):
        if row["verdict"] not in KEPT:
            continue
        for piece in database.all("pieces_of", (row["outcome_no"],)):
            if piece["piece"] != number:
                continue
            if piece["file"] is None:
                yield piece["body"]
            else:
                yield from _chunks(run_folder / piece["file"])


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _write(expected: Expected) -> int:
    """Whole or not at all: written beside its place and renamed into it. Its length."""
    expected.path.parent.mkdir(parents=True, exist_ok=True)
    beside = expected.path.with_name(f".{expected.path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        for part in expected.parts:
            file.write(part)
        size = file.tell()
    beside.replace(expected.path)
    return size
