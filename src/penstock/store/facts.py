"""What the journal knows, for whoever asks: runs, their steps, what is in flight."""

from __future__ import annotations

import json
from pathlib import Path

from penstock.core.canon import item_key, parse
from penstock.core.errors import UsageError
from penstock.core.routing import RESERVED
from penstock.core.seams import Clock
from penstock.core.states import RunState, StepState
from penstock.core.views import RunView, Spending, StepView, Tally
from penstock.store.call_facts import Spent, spent_on_run, spent_on_step
from penstock.store.database import Database, Row
from penstock.store.gates import standing
from penstock.store.journal import NO_ITEM
from penstock.store.layout import Layout
from penstock.store.process import Owner

MOST_LISTED = 1000
FRESH_S = 60.0
"""An owner on another host that has not been heard of for so long is taken for dead."""


def runs(database: Database, layout: Layout, clock: Clock) -> list[RunView]:
    """The newest runs first, without their steps."""
    rows = database.all("runs_newest_first", {"most": MOST_LISTED})
    return [_view(database, layout, row, clock) for row in rows]


def find(database: Database, run_id: str | None) -> Row:
    """The run of that id, or whose id begins or ends so; the newest if none is named. UsageError if it is not one."""
    rows = database.all("runs_newest_first", {"most": MOST_LISTED})
    if not rows:
        raise UsageError("there is no run here yet", "start one with `penstock run`")
    if run_id is None:
        return rows[0]
    exact = database.one("run_by_id", {"run_id": run_id})
    if exact is not None:
        return exact
    close = [row for row in rows if row["run_id"].startswith(run_id) or row["run_id"].endswith(run_id)]
    if len(close) == 1:
        return close[0]
    named = ", ".join(row["run_id"] for row in (close or rows)[:5])
    raise UsageError(
        f"{'several runs are' if close else 'no run is'} called {run_id}", f"`penstock runs` lists them: {named}"
    )


def view(database: Database, layout: Layout, row: Row, clock: Clock) -> RunView:
    """One run with its steps and what is in flight."""
    steps = tuple(_step(database, step, clock) for step in database.all("steps_of", {"run_no": row["run_no"]}))
    flying = database.all("tasks_in_flight", {"run_no": row["run_no"]})
    return _view(database, layout, row, clock, steps, tuple(_place(task) for task in flying))


def spending(database: Database, step_no: int) -> Spending:
    """What a step's model calls came to, over all lives of its run."""
    return _spending(spent_on_step(database, step_no))


def spending_if_any(database: Database, step_no: int, asks: bool) -> Spending | None:
    """As `spending`; None for a step that neither asks models (`asks`) nor runs a command that has."""
    asked = asks or database.one("asks", (step_no,)) is not None
    return spending(database, step_no) if asked else None


def steps_at_hand(database: Database, run: Row) -> list[Row]:
    """The steps of a run (a row of `runs`) and, of those that it has not, the newest of the runs that it stands on."""
    found: dict[str, Row] = {}
    row: Row | None = run
    while row is not None:
        for step in database.all("steps_of", {"run_no": row["run_no"]}):
            found.setdefault(step["step_id"], step)
        row = database.one("run_by_no", {"run_no": row["base_no"]}) if row["base_no"] is not None else None
    return list(found.values())


def options_of(row: Row) -> dict[str, object]:
    """What the command line asked of a run."""
    options = json.loads(row["options"])
    assert isinstance(options, dict)
    return options


def epoch_of(database: Database, run_no: int) -> int:
    """The newest life of the run, from 1; 0 if nobody has owned it yet."""
    row = database.one("owner_of", {"run_no": run_no})
    return int(row["epoch"]) if row is not None else 0


def is_alive(owner: Row | None, now: float) -> bool:
    """Whether the owner (a row of `owners`) lives. One on another host cannot be asked: its heartbeat tells.

    A heartbeat from the future (a clock was set back) counts by its distance all the same.
    """
    if owner is None or owner["released_at"] is not None:
        return False
    lives = Owner(owner["host"], owner["boot"], owner["pid"], owner["pid_started"]).lives()
    return abs(now - owner["heartbeat_at"]) < FRESH_S if lives is None else lives


def _spending(spent: Spent) -> Spending:
    return Spending(spent.calls, spent.known_micros, spent.unknown)


def _exposed(database: Database, run_no: int) -> Spending:
    row = database.one("exposed_on_run", {"run_no": run_no})
    return Spending(row["calls"], row["micros"], row["unknown"]) if row is not None else Spending()


def _view(
    database: Database,
    layout: Layout,
    row: Row,
    clock: Clock,
    steps: tuple[StepView, ...] = (),
    in_flight: tuple[str, ...] = (),
) -> RunView:
    state = row["state"]
    alive = state == RunState.RUNNING.value and is_alive(
        database.one("owner_of", {"run_no": row["run_no"]}), clock.now()
    )
    if state == RunState.RUNNING.value and not alive:
        state = RunState.INTERRUPTED.value
    worked = database.one("seconds_at_work", {"run_no": row["run_no"], "alive": alive, "now": clock.now()})
    later = database.one("run_by_no", {"run_no": row["superseded_by"]}) if row["superseded_by"] else None
    number = (row["run_no"],)
    asks = database.one("run_asks", number) is not None
    prices = database.one("prices_of", number)
    gate = standing(database, row["run_no"])
    return RunView(
        id=row["run_id"],
        workflow=row["workflow"],
        name=row["name"],
        state=state,
        reason=row["reason"],
        started_at=row["started_at"],
        seconds=float(worked["seconds"] or 0) if worked is not None else 0.0,
        folder=Path(layout.run(row["run_id"]).root),
        steps=steps,
        in_flight=in_flight,
        superseded_by=later["run_id"] if later is not None else None,
        spent=_spending(spent_on_run(database, row["run_no"])) if asks else None,
        simulated=bool(options_of(row).get("simulate")) or (asks and database.one("run_asks_for_real", number) is None),
        unpriced=tuple(found["model"] for found in database.all("unpriced_models", number)) if asks else (),
        prices=prices["detail"] if prices is not None else None,
        exposed=_exposed(database, row["run_no"]) if asks else Spending(),
        gate=gate.report if gate is not None else None,
    )


def _step(database: Database, row: Row, clock: Clock) -> StepView:
    counted = database.one("counted_failures", (row["step_no"],))
    mapped = _has_items(database, row)
    return StepView(
        id=row["step_id"],
        state=row["state"],
        reason=row["reason"],
        foreach=mapped,
        tally=_tally(database, row),
        seconds=_seconds(row, clock) if row["started_at"] is not None else None,
        not_kept=int(counted[0]) if counted is not None else 0,
        spent=spending(database, row["step_no"]) if database.one("asks", (row["step_no"],)) else None,
        branches=_branches(database, row) if mapped else (),
    )


def _branches(database: Database, row: Row) -> tuple[tuple[str, int], ...]:
    """How many items a `route` step sent to each branch; zeros stand only in the summary of one that has ended."""
    if not row["summary"]:
        first = database.one("first_branch", {"step_no": row["step_no"]})
        routes = first is not None and first["branch"] is not None
        rows = database.all("branch_counts", {"step_no": row["step_no"]}) if routes else []
        return tuple((found["branch"], found["count"]) for found in rows)
    summary = parse(row["summary"])
    assert isinstance(summary, dict)
    return tuple((name, count) for name, count in summary.items() if name not in RESERVED and type(count) is int)


def _seconds(row: Row, clock: Clock) -> float:
    """From its start to its end, or to now; 0 where a clock was set back in between."""
    return max(0.0, float((row["ended_at"] or clock.now()) - row["started_at"]))


def _tally(database: Database, row: Row) -> Tally:
    if row["summary"]:
        summary = parse(row["summary"])
        assert isinstance(summary, dict)
        names = ("total", "accepted", "rejected", "failed", "skipped", "cached")
        return Tally(**{name: summary[name] for name in names})
    rows = database.all("verdict_counts", {"step_no": row["step_no"]})
    counts = {count["verdict"]: count["count"] for count in rows}
    taken = database.one("tasks_taken", (row["step_no"],))
    in_flight = (int(taken[0]) if taken else 0) - sum(counts.values())
    return Tally(total=row["total"], in_flight=in_flight, **counts)


def _has_items(database: Database, row: Row) -> bool:
    first = database.one("first_task", (row["step_no"],))
    if first is None:
        return bool(row["state"] == StepState.SUCCEEDED.value)  # its source had no rows
    return bool(first["hash"] != NO_ITEM.digest)


def _place(task: Row) -> str:
    if task["hash"] == NO_ITEM.digest:
        return str(task["step_id"])
    return f"{task['step_id']}:{item_key(task['hash'], task['occurrence'])}"
