"""Runs that waited, and whose place a new run of their workflow has taken."""

from __future__ import annotations

from penstock.core.states import StepState
from penstock.store.database import Database, Row


def replaced(database: Database, run_no: int) -> list[str]:
    """A sentence for each run that waited and can no longer go on, because the run `run_no` came after it."""
    runs = database.all("waiting_runs_replaced", {"run_no": run_no})
    return [
        f"run {run['run_id']} {_waited(database, run)}: this run takes its place, and it can no longer go on"
        for run in runs
    ]


def _waited(database: Database, run: Row) -> str:
    steps = database.all("steps_of", {"run_no": run["run_no"]})
    asking = [
        step["step_id"]
        for step in steps
        if step["state"] == StepState.WAITING.value and database.one("newest_approval", {"step_no": step["step_no"]})
    ]
    if asking:
        return f"was waiting for a person ({', '.join(asking)})"
    return f"was paused ({run['reason']})" if run["reason"] else "was waiting"
