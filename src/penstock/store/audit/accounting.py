"""Whether every row of a run is accounted for: rows in = accepted + rejected + failed + skipped, everywhere."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.core.canon import parse
from penstock.core.sampling import GateState
from penstock.core.states import ENDED, RunState, StepState
from penstock.store.audit.finding import Finding, note, ok, problem
from penstock.store.database import Database, Row
from penstock.store.gates import Standing, standing

_SHUT = (GateState.SAMPLING, GateState.FAILED, GateState.INCONCLUSIVE)
VERDICTS = ("accepted", "rejected", "failed", "skipped")
BUG = "this is a bug in Penstock, or somebody edited the journal: please report it, with .penstock/journal.db"


def examine(database: Database, run: Row) -> Iterator[Finding]:
    """What is to say of the run's state and of each of its steps that has ended."""
    steps = database.all("steps_of", {"run_no": run["run_no"]})
    yield _state(run, steps, standing(database, run["run_no"]))
    ended = [step for step in steps if step["state"] in {state.value for state in ENDED}]
    wrong = [finding for step in ended for finding in _step(database, step)]
    yield from wrong
    if not wrong:
        tasks = sum(step["total"] or 0 for step in ended)
        told = f"{len(ended)} of {len(steps)} steps have ended; each of their {tasks:,} tasks has one outcome"
        yield ok("accounting", told)


def _state(run: Row, steps: list[Row], gate: Standing | None) -> Finding:
    states = {StepState(step["state"]) for step in steps}
    open_steps = [step["step_id"] for step in steps if StepState(step["state"]) not in ENDED]
    if open_steps and gate is not None and gate.state in _SHUT and run["state"] in ("failed", "rejected"):
        return ok("state", f"{run['state']} in its sample; the rest has not begun")
    if run["state"] in (RunState.SUCCEEDED.value, RunState.FAILED.value, RunState.REJECTED.value) and open_steps:
        return problem("state", f"the run has {run['state']}, and these steps have not: {', '.join(open_steps)}", BUG)
    if run["state"] == RunState.SUCCEEDED.value and states & {StepState.FAILED, StepState.REJECTED}:
        return problem("state", "the run has succeeded, and a step of it has not", BUG)
    if open_steps and run["superseded_by"] is None:
        return note("state", f"{run['state']}, not ended", f"`penstock resume {run['run_id']}` goes on with it")
    return ok("state", run["state"] if not open_steps else f"{run['state']}; a later run came after it")


def _step(database: Database, step: Row) -> Iterator[Finding]:
    """What is wrong with the rows of one step that has ended."""
    number, name = step["step_no"], f"step {step['step_id']}"
    counts = {row["verdict"]: row["count"] for row in database.all("verdict_counts", {"step_no": number})}
    told = parse(step["summary"]) if step["summary"] else {}
    assert isinstance(told, dict)
    done, taken = sum(counts.values()), _number(database, "tasks_taken", number)
    if not step["total"] == done == taken:
        yield problem(name, f"{step['total']} rows in, {taken} taken, {done} with a verdict", BUG)
    other = [
        f"{told.get(verdict)} {verdict} told, {counts.get(verdict, 0)} in the journal"
        for verdict in VERDICTS
        if told.get(verdict) != counts.get(verdict, 0)
    ]
    if other:
        yield problem(name, f"its summary differs from its outcomes: {'; '.join(other)}", BUG)
    without = _number(database, "tasks_without_outcome", number)
    if without:
        yield problem(name, f"it has ended, and {without} of its tasks have no outcome", BUG)
    strays = _number(database, "outcomes_without_task", number)
    if strays:
        yield problem(name, f"{strays} of its outcomes belong to no task of its own", BUG)


def _number(database: Database, query: str, step_no: int) -> int:
    row = database.one(query, (step_no,))
    return int(row[0]) if row is not None else 0
