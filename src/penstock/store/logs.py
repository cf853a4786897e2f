"""`log.jsonl`: one line a finished item or step, in the order of their ends, derived from the journal.

How far it has come is in the journal; what a crash left beyond that is cut off and written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from penstock.core.canon import item_key, parse
from penstock.store.database import Database, Row
from penstock.store.journal import NO_ITEM, Journal

PAGE = 512
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
LOG, STEPS = "./log.jsonl", "./log.jsonl#steps"
"""Under these names the journal keeps how far the log has come and how many ends of steps are in it."""


class RunLog:
    """The log of one run, open for appending."""

    def __init__(self, journal: Journal, run_no: int, run_id: str, path: Path) -> None:
        self._journal = journal
        self._run_no = run_no
        self._run_id = run_id
        items = journal.database.one("derived_of", (run_no, LOG))
        steps = journal.database.one("derived_of", (run_no, STEPS))
        size = items["bytes"] if items is not None else 0
        whole = path.exists() and path.stat().st_size >= size
        self._torn = False
        self._after = items["cursor"] if items is not None and whole else 0
        self._steps_after = steps["cursor"] if steps is not None and whole else 0
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        self._file.truncate(size if whole else 0)
        self._file.seek(size if whole else 0)

    def advance(self) -> None:
        """Everything that the journal knows by now is in the log.

        Once this has raised (a full disk) it does nothing more: a line may be half in the log, and is
        cut off when that is opened again.
        """
        if self._torn:
            return
        self._torn = True
        before = (self._after, self._steps_after)
        while self._page():
            pass
        if (self._after, self._steps_after) != before:
            self._keep_place()
        self._torn = False

    def close(self) -> None:
        """The file is closed as it stands."""
        self._file.close()

    def _keep_place(self) -> None:
        self._file.flush()
        with self._journal.together():
            self._journal.set_derived(self._run_no, LOG, self._after, self._file.tell())
            self._journal.set_derived(self._run_no, STEPS, self._steps_after, self._file.tell())

    def _page(self) -> bool:
        page = _read(self._journal.database, self._run_no, self._run_id, self._after, self._steps_after)
        for line in page.lines:
            self._file.write(line)
        self._after, self._steps_after = page.after, page.steps_after
        return not page.last


def lines(database: Database, run_no: int, run_id: str) -> Iterator[bytes]:
    """Every line of a run's log, as the journal would write it now."""
    page = _Page((), 0, 0, last=False)
    while not page.last:
        page = _read(database, run_no, run_id, page.after, page.steps_after)
        yield from page.lines


@dataclass(frozen=True, slots=True)
class _Page:
    """Some lines, the last outcome and the last end of a step in them, and whether there are no more for now."""

    lines: Iterable[bytes]
    after: int
    steps_after: int
    last: bool


def _read(database: Database, run_no: int, run_id: str, after: int, steps_after: int) -> _Page:
    rows = database.all("outcomes_after", {"run_no": run_no, "after": after, "most": PAGE})
    ends = database.all("steps_ended", {"run_no": run_no, "after": steps_after})
    whole = len(rows) < PAGE
    last = rows[-1]["outcome_no"] if rows else after
    due = [end for end in ends if whole or end["ended_after"] < last]
    lines = (_line(database, row, run_id) for row in _merged(rows, due))
    return _Page(lines, last, due[-1]["end_order"] if due else steps_after, whole)


def _line(database: Database, row: Row, run_id: str) -> bytes:
    if "outcome_no" in row.keys():  # noqa: SIM118 - a Row iterates over its values
        return b"" if row["hash"] == NO_ITEM.digest else _encoded(_item_line(row, run_id))
    single = database.one("single_outcome_then", (row["step_no"], NO_ITEM.digest, row["ended_after"]))
    return _encoded(_step_line(row, single, run_id))


def _merged(rows: list[Row], ends: list[Row]) -> Iterator[Row]:
    """Outcomes and ends of steps in the order in which they were committed."""
    waiting = list(reversed(ends))
    for row in rows:
        while waiting and waiting[-1]["ended_after"] < row["outcome_no"]:
            yield waiting.pop()
        yield row
    yield from reversed(waiting)


def _item_line(row: Row, run_id: str) -> dict[str, object]:
    line: dict[str, object] = {
        "ts": stamp(row["ended_at"]),
        "run": run_id,
        "step": row["step_id"],
        "i": row["i"],
        "key": item_key(row["hash"], row["occurrence"]),
        "input_hash": row["hash"].hex(),
        "attempt": row["attempt"],
        "latency_ms": round(row["elapsed_s"] * 1000, 3),
        "cost": _dollars(row["cost_micros"]),
        "verdict": row["verdict"],
    }
    return line | _asked(row) | _route(row) | _why(row)


def _asked(row: Row) -> dict[str, object]:
    """What its model calls came to; nothing for a command. `cached`: no answer had to be bought."""
    if row["sent"] is None:
        return {}
    told = {name: row[name] for name in ("model", "tokens_in", "tokens_out")}
    return told | {"calls": row["sent"], "cached": bool(row["cached"] and not row["sent"])}


def _route(row: Row) -> dict[str, object]:
    """What a rule or a model chose for it, and why; nothing where there was no choice."""
    return {"route": json.loads(row["route"])} if row["route"] else {}


def _step_line(row: Row, single: Row | None, run_id: str) -> dict[str, object]:
    summary = parse(row["summary"]) if row["summary"] else {}
    assert isinstance(summary, dict)
    line: dict[str, object] = {
        "ts": stamp(row["ended_at"]),
        "run": run_id,
        "step": row["step_id"],
        "i": None,
        "key": None,
        "input_hash": None,
        "attempt": single["attempt"] if single is not None else None,
        "latency_ms": round(single["elapsed_s"] * 1000, 3) if single is not None else None,
        "cost": summary.get("cost"),
        "verdict": row["state"],
    }
    if single is None:
        line |= {
            name: summary[name] for name in ("total", "accepted", "rejected", "failed", "skipped") if name in summary
        }
    why = {"reason": row["reason"]} if row["reason"] else {}
    return line | why | (_asked(single) | _route(single) | _why(single) if single is not None else {})


def _why(row: Row) -> dict[str, object]:
    told: dict[str, object] = {}
    if row["reused"] is not None:
        told["cached"] = True
    if row["reason"]:
        told["reason"] = row["reason"]
    if row["kind"]:
        told["error"] = {"kind": row["kind"], "stderr": row["stderr"] or ""}
    return told


def stamp(at_s: float) -> str:
    """A time as ISO 8601, UTC, with milliseconds."""
    return datetime.fromtimestamp(at_s, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dollars(micros: int | None) -> float | None:
    return None if micros is None else micros / 1_000_000


def _encoded(line: dict[str, object]) -> bytes:
    return _json(line).encode("utf-8", "replace") + b"\n"
