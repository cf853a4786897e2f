"""Where the rows of a step come from, one at a time: a file, a list in the workflow, another step's records."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from penstock.core.canon import compact, parse
from penstock.core.work import Verdict
from penstock.store.database import Row
from penstock.store.items import Row as FileRow
from penstock.store.journal import Journal

PAGE = 64
TAKEN_BY_BRANCH: dict[str | None, frozenset[str]] = {
    None: frozenset({Verdict.ACCEPTED.value, Verdict.REJECTED.value}),
    "accepted": frozenset({Verdict.ACCEPTED.value}),
    "rejected": frozenset({Verdict.REJECTED.value}),
    "failed": frozenset({Verdict.FAILED.value}),
}


def taken_by(branch: str | None) -> tuple[frozenset[str], str | None]:
    """What `foreach: steps.ID.BRANCH` takes: records with these verdicts; sent to that branch, where ID is a `route`
    step and BRANCH one of its own."""
    if branch in TAKEN_BY_BRANCH:
        return TAKEN_BY_BRANCH[branch], None
    return TAKEN_BY_BRANCH["accepted"], branch


@dataclass(frozen=True, slots=True)
class Arrival:
    """A row that a step may take: its place, exact text, value, and a sentence if it could not be read.

    `above` is the identity of the row that a record was made from; empty for a row of a file or a list.
    """

    index: int
    text: bytes
    value: object
    fault: str | None = None
    above: bytes = b""

    @property
    def digest(self) -> bytes:
        """Its identity: 16 bytes of the SHA-256 of its text, and of the row above, which tells equal records apart.

        Numbering them instead would number them in the order in which they happened to end.
        """
        return hashlib.sha256(self.text + self.above).digest()[:16]


class Feed(Protocol):
    """Gives rows as they come."""

    ended: bool
    """Whether the last row has been given."""

    def take(self) -> Arrival | None:
        """The next row; None if there is none now (for good, if `ended`)."""

    def close(self) -> None:
        """Nothing more is read."""


class RowFeed:
    """Rows of a file or a list: the next one is always there until they end."""

    def __init__(self, rows: Iterator[FileRow]) -> None:
        self._rows = rows
        self.ended = False

    def take(self) -> Arrival | None:
        """The next row; None at the end."""
        row = next(self._rows, None)
        if row is None:
            self.ended = True
            return None
        return Arrival(row.index, row.text, row.data, row.fault)

    def close(self) -> None:
        """The file is closed."""
        close = getattr(self._rows, "close", None)
        if close is not None:
            close()


class StepFeed:
    """The records of a step, in the order in which they are committed, read from the journal a page at a time."""

    def __init__(
        self,
        journal: Journal,
        above_no: int,
        branch: str | None,
        above_ended: Callable[[], bool],
        passes_on: bool = False,
    ) -> None:
        """`passes_on`: what comes is what the step above was given, not its record (it only judged or routed it)."""
        self._passes_on = passes_on
        self._journal = journal
        self._above_no = above_no
        self._verdicts, self._to = taken_by(branch)
        self._above_ended = above_ended
        self._after = 0
        self._page: deque[Row] = deque()
        self.ended = False

    def take(self) -> Arrival | None:
        """The next record of the branch; None if none has been committed since."""
        while True:
            if not self._page and not self._turn():
                return None
            row = self._page.popleft()
            if row["verdict"] in self._verdicts and self._to in (None, row["branch"]):
                return _passed_on(row) if self._passes_on else _arrival(row)

    def close(self) -> None:
        """Nothing is held open."""

    def _turn(self) -> bool:
        ended_before = self._above_ended()
        values = {"step_no": self._above_no, "after": self._after, "most": PAGE}
        self._page.extend(self._journal.database.all("records_by_end", values))
        if self._page:
            self._after = self._page[-1]["outcome_no"]
            return True
        self.ended = ended_before
        return False


def _arrival(row: Row) -> Arrival:
    if row["verdict"] == Verdict.FAILED.value or row["record"] is None:  # a rejected `generate` item has no record
        return _failure(row)
    text: bytes = row["record"]
    value = text.decode("utf-8", "surrogateescape") if row["form"] == "text" else parse(text)
    return Arrival(row["i"], text, value, above=_identity(row))


def _passed_on(row: Row) -> Arrival:
    if row["verdict"] == Verdict.FAILED.value or row["record"] is None:  # a model that was to route it chose nothing
        return _failure(row)
    text: bytes = row["input"]
    try:
        value = parse(text)
    except ValueError:
        value = text.decode("utf-8", "surrogateescape")
    return Arrival(row["i"], text, value, above=_identity(row))


def _failure(row: Row) -> Arrival:
    """What `foreach: steps.X.failed` reads, and `.rejected` of a step that asked models and got no answer that will do:
    the step's input with a field `failure` beside its own."""
    given = row["input"] or b""
    failure = {"reason": row["reason"], "kind": row["kind"], "attempt": row["attempt"]}
    try:
        value = parse(given)
    except ValueError:
        value = given.decode("utf-8", "replace")
    told = {**value, "failure": failure} if isinstance(value, dict) else {"input": value, "failure": failure}
    return Arrival(row["i"], compact(told).encode(), told, above=_identity(row))


def _identity(row: Row) -> bytes:
    """What tells the row apart that a record was made from: its hash and its occurrence."""
    return bytes(row["hash"]) + int(row["occurrence"]).to_bytes(8, "big")
