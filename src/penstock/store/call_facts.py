"""What the journal knows of model calls, for whoever asks: their cost, those in flight, those of one task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from penstock.core.calls import Answer
from penstock.store.call_rows import answer_of
from penstock.store.database import Database, Row


@dataclass(frozen=True, slots=True)
class Spent:
    """What was sent, ended and billed; replays from the cache are not in it.

    `known_micros` sums what is known, exactly or (of `estimated` calls) by an estimate; of `unknown` calls it is not.
    """

    calls: int
    known_micros: int
    unknown: int
    estimated: int
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of a task. `end` is None while it is in flight; `answer` where there was none, or the cache has it.

    `row` has the columns of the query `calls_of_task`: the call, its end, and the judgement of its answer if any.
    """

    row: Row
    answer: Answer | None


def spent_on_run(database: Database, run_no: int) -> Spent:
    """What the run's calls cost, over all its lives."""
    return _spent(database.one("spent_on_run", (run_no,)))


def spent_on_step(database: Database, step_no: int) -> Spent:
    """What the step's calls cost, over all lives of its run."""
    return _spent(database.one("spent_on_step", (step_no,)))


def in_flight(database: Database, run_no: int) -> list[Row]:
    """Calls of the run that have no end, as rows of `calls` with `step_id`; while nobody owns it, all are lost."""
    return database.all("calls_in_flight", {"run_no": run_no})


def asked_for(database: Database, task_no: int) -> Iterator[Asked]:
    """The calls of a task in the order in which they were made."""
    for row in database.all("calls_of_task", (task_no,)):
        yield Asked(row, answer_of(row) if row["body"] is not None else None)


def _spent(row: Row | None) -> Spent:
    assert row is not None
    return Spent(**{name: row[name] for name in row.keys()})  # noqa: SIM118 - a Row iterates over its values
