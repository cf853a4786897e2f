"""`calls.jsonl`: one line a model call, in the order of their ends, derived from the journal as `log.jsonl` is.

How far it has come is in the journal; what a crash left beyond that is cut off and written again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from json.encoder import encode_basestring
from pathlib import Path

from penstock.core.canon import item_key
from penstock.store.database import Database, Row
from penstock.store.journal import NO_ITEM, Journal
from penstock.store.logs import stamp

PAGE = 512
CALLS = "./calls.jsonl"
"""Under this name the journal keeps how far the log has come."""


class CallLog:
    """The call log of one run, open for appending."""

    def __init__(self, journal: Journal, run_no: int, run_id: str, path: Path) -> None:
        self._journal = journal
        self._run_no = run_no
        self._run_id = run_id
        stood = journal.database.one("derived_of", (run_no, CALLS))
        whole = stood is not None and path.exists() and path.stat().st_size >= stood["bytes"]
        self._after: int = stood["cursor"] if stood is not None and whole else 0
        size: int = stood["bytes"] if stood is not None and whole else 0
        self._torn = False
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        self._file.truncate(size)
        self._file.seek(size)

    def advance(self) -> None:
        """Every call that the journal knows to have ended is in the log.

        Once this has raised (a full disk) it does nothing more: a line may be half in the log, and is
        cut off when that is opened again.
        """
        if self._torn:
            return
        self._torn = True
        before = self._after
        for after, line in _lines(self._journal.database, self._run_no, self._run_id, before):
            self._file.write(line)
            self._after = after
        if self._after > before:
            self._file.flush()
            self._journal.set_derived(self._run_no, CALLS, self._after, self._file.tell())
        self._torn = False

    def close(self) -> None:
        """The file is closed as it stands."""
        self._file.close()


def lines(database: Database, run_no: int, run_id: str) -> Iterator[bytes]:
    """Every line of a run's call log, as the journal would write it now."""
    return (line for _, line in _lines(database, run_no, run_id, 0))


def _lines(database: Database, run_no: int, run_id: str, after: int) -> Iterator[tuple[int, bytes]]:
    """The lines after an end, each with the number of its own."""
    while rows := database.all("calls_after", {"run_no": run_no, "after": after, "most": PAGE}):
        for row in rows:
            yield row["end_no"], _line(row, run_id)
        if len(rows) < PAGE:
            return
        after = rows[-1]["end_no"]


def _line(row: Row, run_id: str) -> bytes:
    """Written by hand, since money is to read 0.000031 and not 3.1e-05."""
    single = row["hash"] is None or row["hash"] == NO_ITEM.digest
    fields = {
        "ts": _text(stamp(row["ended_at"])),
        "run": _text(run_id),
        "step": _text(row["step_id"]),
        "i": "null" if single else str(row["i"]),
        "key": "null" if single else _text(item_key(row["hash"], row["occurrence"])),
        "attempt": str(row["attempt"]),
        "send": str(row["send"]),
        "purpose": _text(row["purpose"]),
        "model": _text(row["model"]),
        "provider": _text(row["provider"]),
        "served": _text(row["served"]),
        "status": _number(row["status"]),
        "cached": "true" if row["cached"] else "false",
        "tokens_in": _number(row["tokens_in"]),
        "tokens_out": _number(row["tokens_out"]),
        "cache_read": _number(row["cache_read"]),
        "cache_write": _number(row["cache_write"]),
        "cost": _dollars(row["cost_micros"]),
        "cost_status": _text(row["cost_status"]),
        "wait_ms": _ms(row["wait_s"]),
        "latency_ms": _ms(row["elapsed_s"]),
        "error": _text(row["kind"] or row["fault"]),
        "request": _text(row["key"][:8].hex()),
    }
    if row["message"] is not None:
        fields["message"] = _text(row["message"])
    told = ",".join([f'"{name}":{value}' for name, value in fields.items()])
    return f"{{{told}}}\n".encode("utf-8", "replace")


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring(value)


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def _ms(seconds: float | None) -> str:
    return "null" if seconds is None else str(round(seconds * 1000, 3))


def _dollars(micros: int | None) -> str:
    """At least one digit after the point, and no more zeros than that."""
    if micros is None:
        return "null"
    whole, part = divmod(micros, 1_000_000)
    return f"{whole}.{part:06d}".rstrip("0") + ("0" if part == 0 else "")
