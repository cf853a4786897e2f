"""What the journal knows of a step's earlier runs, for whoever wants to tell what the next one will cost."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from penstock.store.database import Database, Row

MOST_CALLS = 1000
"""So many of the newest calls are looked at."""


@dataclass(frozen=True, slots=True)
class PastCalls:
    """A step's newest calls that gave a reply: how many, by how many tasks, and what they came to.

    `micros` is None where the cost of one is not known; `median_s` the median time until a response was whole;
    `models` the names of those that replied.
    """

    calls: int
    tasks: int
    micros: int | None
    tokens: int
    median_s: float
    models: frozenset[str]


def past_calls(database: Database, workflow: str, step_id: str, models: frozenset[tuple[str, str]]) -> PastCalls | None:
    """The newest calls that the step sent to these (name, provider) pairs in the newest run in which it sent any; None
    if there are none."""
    found = database.one("step_that_asked", {"workflow": workflow, "step_id": step_id})
    if found is None:
        return None
    rows = database.all("past_calls", {"step_no": found["step_no"], "most": MOST_CALLS})
    rows = [row for row in rows if (row["model"], row["provider"]) in models]
    if not rows:
        return None
    costs = [row["cost_micros"] for row in rows]
    return PastCalls(
        len(rows),
        len({row["task_no"] for row in rows}),
        None if None in costs else sum(costs),
        sum((row["tokens_in"] or 0) + (row["tokens_out"] or 0) for row in rows),
        median(row["elapsed_s"] or 0.0 for row in rows),
        frozenset(row["model"] for row in rows),
    )


def last_run_of(database: Database, workflow: str, step_id: str) -> Row | None:
    """The newest run in which the step began: a row of `runs` with its `step_no`; None if there is none."""
    return database.one("last_run_of_step", {"workflow": workflow, "step_id": step_id})


def had_item(database: Database, step_no: int, digest: bytes) -> bool:
    """Whether the step took in a row of this identity in that run."""
    return database.one("had_item", (step_no, digest)) is not None
