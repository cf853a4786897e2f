"""The gate of a run and the rows of its sample, in the journal."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from penstock.core.sampling import GateReport, GateState
from penstock.store.database import Database
from penstock.store.journal import Journal


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the gate of a run stands. `report` is what it found, None until it was asked.

    `after` is the number of the newest outcome then, and `rejects` of `judged` rows had ended until then: those that
    were in flight when it decided are among them, and the `lost` ones that failed above the counted step.
    """

    state: GateState
    report: GateReport | None = None
    after: int = 0
    rejects: int = 0
    judged: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Drawing:
    """The places of drawn rows in their stream, in sample order, and how many rows that had."""

    places: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A stream that was drawn from: the step that reads it, its rows, and how many of them the step has begun."""

    step_id: str
    total: int
    begun: int


def begin(journal: Journal, run_no: int, size: int, seed: int) -> None:
    """The run begins with a sample."""
    journal.database.run("begin_gate", {"run_no": run_no, "size": size, "seed": seed})


def standing(database: Database, run_no: int) -> Standing | None:
    """Where the gate stands; None for a run without a sample. The report has the gate's state of today, and who let the
    rest follow since."""
    row = database.one("gate_of", {"run_no": run_no})
    if row is None:
        return None
    state = GateState(row["state"])
    if row["report"] is None:
        return Standing(state)
    told = json.loads(row["report"])
    then = told.pop("then")
    return Standing(state, GateReport(**{**told, "state": state, "expanded_by": row["by_whom"]}), **then)


def decide(journal: Journal, run_no: int, report: GateReport, rejects: int, judged: int, lost: int, at: float) -> None:
    """The gate has been asked: its state is the report's. By now `rejects` of `judged` rows have ended at the counted
    step, and `lost` more above it."""
    row = journal.database.one("newest_outcome")
    assert row is not None
    tell(journal, run_no, report, Standing(report.state, None, row[0], rejects + lost, judged + lost, lost), at)


def pass_by(journal: Journal, run_no: int, by_whom: str, at: float) -> None:
    """Somebody lets the whole run follow, whatever the gate found."""
    _set(journal, run_no, GateState.EXPANDED, at, by_whom=by_whom)


def ask_again(journal: Journal, run_no: int) -> None:
    """The rows of the sample have changed, and the gate is to be asked once more."""
    _set(journal, run_no, GateState.SAMPLING, None)


def tell(journal: Journal, run_no: int, report: GateReport, found: Standing, at: float) -> None:
    """What the gate knows by now. It stands as in `found`, and has been asked as it says there."""
    then = {"after": found.after, "rejects": found.rejects, "judged": found.judged, "lost": found.lost}
    told = {**asdict(report), "state": found.state.value, "then": then}
    _set(journal, run_no, found.state, at, report=json.dumps(told, ensure_ascii=False))


def _set(
    journal: Journal,
    run_no: int,
    state: GateState,
    at: float | None,
    report: str | None = None,
    by_whom: str | None = None,
) -> None:
    values = {"run_no": run_no, "state": state.value, "report": report, "by_whom": by_whom, "at": at}
    journal.database.run("set_gate", values)


# --- the rows of the sample ----------------------------------------------------------------------


def keep(journal: Journal, run_no: int, step_id: str, drawing: Drawing) -> None:
    """The rows that were drawn are those of the run for good."""
    rows = [(run_no, step_id, draw, i, drawing.total) for draw, i in enumerate(drawing.places)]
    with journal.together():
        journal.database.many("keep_drawn", rows)


def drawing(database: Database, run_no: int, step_id: str) -> Drawing | None:
    """What was drawn of the step's stream; None if nothing was."""
    rows = database.all("drawn", {"run_no": run_no, "step_id": step_id})
    return Drawing(tuple(row["i"] for row in rows), rows[0]["total"]) if rows else None


def drawn(database: Database, run_no: int) -> list[Drawn]:
    """The streams that were drawn from, in the order of their steps."""
    rows = database.all("streams_drawn", {"run_no": run_no})
    return [Drawn(row["step_id"], row["total"], row["begun"]) for row in rows]
