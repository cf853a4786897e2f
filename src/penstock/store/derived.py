"""The files that a step's outcomes become, in input order: `steps/STEP.jsonl` and its append targets.

Outcomes commit in any order. A `Sequence` walks them by index from where it stood, as far as there is no gap,
and appends. Where it stands and how long its files are is in the journal, so that after a crash
a file is cut back to that length and goes on; one that is shorter than that is written anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from penstock.core.canon import compact, item_key
from penstock.core.work import Verdict
from penstock.store.database import Row
from penstock.store.journal import Journal

PAGE = 256
KEPT = {Verdict.ACCEPTED.value, Verdict.REJECTED.value}


@dataclass(frozen=True, slots=True)
class AppendTarget:
    """A file that the pieces numbered `piece` are joined into, after `foreign_bytes` that are not ours."""

    piece: int
    path: Path
    name: str
    foreign_bytes: int


class Frontier(Protocol):
    """A step whose outcomes are known without a gap up to `cursor` (exclusive)."""

    step_no: int
    cursor: int


@dataclass(slots=True)
class Finished:
    """A step that ended before: all its outcomes are known."""

    step_no: int
    cursor: int = 1 << 62


class Sequence:
    """One step's outcomes on their way into its files, in the order of their indices."""

    def __init__(
        self,
        journal: Journal,
        run_no: int,
        step_no: int,
        lines: Path,
        targets: tuple[AppendTarget, ...] = (),
        above: Frontier | None = None,
        branch: frozenset[str] | None = None,
        to: str | None = None,
        whole: Callable[[], bool] | None = None,
    ) -> None:
        """`above` is the step whose records this one reads, `branch` the verdicts that it takes of them; of those only
        what was sent `to` a branch of its own, where that is a `route` step and this is named. With `whole` (of a
        sample, which has gaps) nothing is written until that is true, and then everything."""
        self._journal = journal
        self._run_no = run_no
        self.step_no = step_no
        self._targets = targets
        self._above = above
        self._branch = branch or KEPT
        self._to = to
        self._whole = whole
        self._lines = lines
        self._own = own_name(lines.stem)
        self.cursor = 0
        self._torn = False
        self._files = self._open()

    def advance(self) -> None:
        """Every outcome before the first gap is in the files, and the journal says so.

        Once this has raised (a full disk) it does nothing more: a row may be half in the files, and is
        cut off when they are opened again.
        """
        if self._torn or (self._whole is not None and not self._whole()):
            return
        self._torn = True
        before = self.cursor
        while self._page():
            pass
        if self.cursor > before:
            self._keep_place()
        self._torn = False

    def close(self) -> None:
        """The files are closed as they stand."""
        for file in self._files.values():
            file.close()

    def _keep_place(self) -> None:
        for file in self._files.values():
            file.flush()
        with self._journal.together():
            for name, file in self._files.items():
                self._journal.set_derived(self._run_no, name, self.cursor, file.tell())

    def _page(self) -> bool:
        """Writes up to one page of outcomes; whether there may be more."""
        rows = self._rows()
        for row in rows:
            if self._above is not None and not self._takes(row):
                self.cursor = row["i"] + 1
                continue
            if row["outcome_no"] is None or (self._above is None and row["i"] != self.cursor and self._whole is None):
                return False
            self._write(row)
            self.cursor = row["i"] + 1
        return len(rows) == PAGE

    def _takes(self, row: Row) -> bool:
        """Whether a record above is one that this step reads."""
        return row["above"] in self._branch and bool(row["routed"])

    def _rows(self) -> list[Row]:
        values: dict[str, object] = {"step_no": self.step_no, "from": self.cursor, "most": PAGE}
        if self._above is None:
            return self._journal.database.all("records_in_order", values)
        values |= {"above_no": self._above.step_no, "until": self._above.cursor, "to": self._to}
        return self._journal.database.all("stream_in_order", values)

    def _write(self, row: Row) -> None:
        self._files[self._own].write(record_line(row))
        if not self._targets or row["verdict"] not in KEPT:
            return
        pieces = {piece["piece"]: piece for piece in self._journal.database.all("pieces_of", (row["outcome_no"],))}
        for target in self._targets:
            piece = pieces.get(target.piece)
            if piece is not None:
                _append(self._files[target.name], piece, self._lines.parent.parent)

    # --- where it stood ------------------------------------------------------------------------

    def _open(self) -> dict[str, BinaryIO]:
        """The files, cut back to what the journal says of them; all from the start if one is too short."""
        places: dict[str, tuple[Path, int]] = {self._own: (self._lines, 0)}
        places |= {target.name: (target.path, target.foreign_bytes) for target in self._targets}
        stood = {name: self._stood(name) for name in places}
        whole = all(
            at is not None and path.exists() and _size(path) >= at[1]
            for (path, _), at in zip(places.values(), stood.values(), strict=True)
        )
        files: dict[str, BinaryIO] = {}
        for name, (path, foreign_bytes) in places.items():
            at = stood[name]
            size = at[1] if whole and at is not None else min(foreign_bytes, _size(path))
            if whole and at is not None:
                self.cursor = at[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b", buffering=1 << 16)
            file.truncate(size)
            file.seek(size)
            files[name] = file
        return files

    def _stood(self, name: str) -> tuple[int, int] | None:
        row = self._journal.database.one("derived_of", (self._run_no, name))
        return None if row is None else (row["cursor"], row["bytes"])


def own_name(step_id: str) -> str:
    """The name under which the journal keeps how far `steps/STEP.jsonl` has come; no append target is called so."""
    return f"./steps/{step_id}.jsonl"


def record_line(row: Row) -> bytes:
    """The line of one outcome in `steps/STEP.jsonl`: `{"i", "key", "verdict", "record"}`."""
    key = item_key(row["hash"], row["occurrence"])
    record = b"null"
    if row["record"] is not None:
        record = compact(row["record"].decode("utf-8", "replace")).encode() if row["form"] == "text" else row["record"]
    return b'{"i":%d,"key":"%s","verdict":"%s","record":%s}\n' % (
        row["i"],
        key.encode(),
        row["verdict"].encode(),
        record,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _append(file: BinaryIO, piece: Row, run_folder: Path) -> None:
    if piece["file"] is None:
        file.write(piece["body"])
        return
    with (run_folder / piece["file"]).open("rb") as source:
        shutil.copyfileobj(source, file)
