"""`doctor`: the machine, the folder and one run, examined without changing anything; and derived files made anew."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.api import machine
from penstock.api.clock import CLOCK
from penstock.api.folder import existing, held, processors
from penstock.api.loading import load, locate
from penstock.core.errors import OperatorError, PenstockError, UsageError
from penstock.core.workflow import Step, Workflow
from penstock.kinds import supervisor
from penstock.rules.paths import fixed_path
from penstock.store import facts
from penstock.store.audit import accounting, derived_files, journal_file, leftovers, model_calls, recorded_files
from penstock.store.audit.finding import Finding, Grade, note, ok, problem
from penstock.store.database import Database, DatabaseError, Row
from penstock.store.journal import Journal
from penstock.store.layout import Layout

__all__ = ["Examination", "Finding", "examine", "rebuild"]

AHEAD_S = 60.0
"""A run that began so long after now was begun by a clock that has been set back since."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found, by part (`machine`, `folder`, `run ID`), each in the order in which it was looked at."""

    run_id: str | None
    parts: tuple[tuple[str, tuple[Finding, ...]], ...]

    @property
    def problems(self) -> int:
        """How many findings ask for somebody to act."""
        return sum(finding.grade is Grade.PROBLEM for _, findings in self.parts for finding in findings)


def examine(folder: Path, run_id: str | None) -> Examination:
    """The machine, the folder and a run of it (the newest if none is named). UsageError if there is no such run."""
    layout = existing(folder) if run_id is not None else Layout(folder.absolute())
    parts = [("machine", tuple(machine.examine(layout.folder, *_widths(folder))))]
    if not layout.journal.exists():
        return Examination(None, (*parts, ("folder", (_without_journal(layout),))))
    found = journal_file.examine(layout.journal)
    if not journal_file.readable(found):
        return Examination(None, (*parts, ("folder", tuple(found))))
    try:
        with contextlib.closing(Database(layout.journal)) as database:
            found += _folder(database, layout)
            run = _named(database, run_id)
            if run is None:
                return Examination(None, (*parts, ("folder", tuple(found))))
            about = (f"run {run['run_id']}", tuple(_run(database, layout, run)))
            return Examination(run["run_id"], (*parts, ("folder", tuple(found)), about))
    except DatabaseError as error:
        found.append(problem("journal", f"it cannot be asked: {error}", journal_file.RESCUE))
    except UsageError:
        raise
    except OperatorError as error:
        found.append(problem("journal", str(error), error.help or "mend that, and look again"))
    return Examination(None, (*parts, ("folder", tuple(found))))


def rebuild(folder: Path, run_id: str | None) -> list[str]:
    """The logs and the records of a run are what the journal says; the names of the files that had to be written anew.

    OperatorError while a process runs a workflow in this folder.
    """
    layout = existing(folder)
    with held(layout) as journal:
        for owner in journal.database.all("owned_runs"):
            if facts.is_alive(owner, CLOCK.now()):
                raise OperatorError(f"run {owner['run_id']} is running", "wait until it has ended")
        run = facts.find(journal.database, run_id)
        return list(_rebuilt(journal, layout, run))


def _rebuilt(journal: Journal, layout: Layout, run: Row) -> Iterator[str]:
    database = journal.database
    if _differs(derived_files.compare(derived_files.log_file(database, layout, run))):
        derived_files.rebuild_log(journal, layout, run)
        yield "log.jsonl"
    calls = derived_files.calls_file(database, layout, run)
    if calls is not None and _differs(derived_files.compare(calls)):
        derived_files.rebuild_calls(journal, layout, run)
        yield "calls.jsonl"
    for step in database.all("steps_of", {"run_no": run["run_no"]}):
        if _differs(derived_files.compare(derived_files.records_file(database, layout, run, step))):
            derived_files.rebuild_records(journal, layout, run, step)
            yield f"steps/{step['step_id']}.jsonl"


def _differs(finding: Finding) -> bool:
    return finding.grade is Grade.PROBLEM


# --- the folder --------------------------------------------------------------------------------


def _widths(folder: Path) -> tuple[int, int]:
    """How many tasks and steps of the folder's workflow may be under way at once."""
    try:
        steps = load(locate(folder)).steps
    except PenstockError:
        return processors(), 1
    return sum(step.concurrency or processors() for step in steps), len(steps)


def _without_journal(layout: Layout) -> Finding:
    runs = layout.root / "runs"
    left = sum(1 for _ in runs.iterdir()) if runs.is_dir() else 0
    if not left:
        return ok("journal", "nothing has run here yet")
    return problem(
        "journal",
        f"it is gone, and the folders of {left} runs are there",
        "put it back from a copy; without it no run can be resumed (their records are in .penstock/runs/*/steps)",
    )


def _named(database: Database, run_id: str | None) -> Row | None:
    try:
        return facts.find(database, run_id)
    except UsageError:
        if run_id is not None:
            raise
        return None


def _folder(database: Database, layout: Layout) -> list[Finding]:
    holder = _holder(layout)
    found = [ok("lock", f"held by {holder}" if holder is not None else "free")]
    found += [_unended(database, run) for run in database.all("runs_unended")]
    found += _clock(database)
    return [*found, leftovers.halves(layout), leftovers.folders(database, layout)]


def _holder(layout: Layout) -> str | None:
    """What the lock says of the process that holds it; None if nobody does."""
    try:
        with layout.lock.open("r", encoding="utf-8", errors="replace") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read() or "another process"
    except FileNotFoundError:
        pass
    return None


def _unended(database: Database, run: Row) -> Finding:
    name = f"run {run['run_id']}"
    if _is_alive(database, run):
        return ok(name, "running")
    if run["state"] == "running":
        help = f"`penstock resume {run['run_id']}` goes on with it"
        return note(name, "the journal has it as running, and nobody runs it: its process died", help)
    return note(name, f"{run['state']}, not ended", f"`penstock resume {run['run_id']}` goes on with it")


def _is_alive(database: Database, run: Row) -> bool:
    return facts.is_alive(database.one("owner_of", {"run_no": run["run_no"]}), CLOCK.now())


def _clock(database: Database) -> list[Finding]:
    newest = database.all("runs_newest_first", {"most": 1})
    ahead_s = newest[0]["started_at"] - CLOCK.now() if newest else 0.0
    if ahead_s < AHEAD_S:
        return []
    help = "nothing is wrong with the runs: ids go on after the newest; set the clock right"
    return [note("clock", f"the newest run began {ahead_s:,.0f} s from now: the clock was set back", help)]


# --- one run -----------------------------------------------------------------------------------


def _run(database: Database, layout: Layout, run: Row) -> list[Finding]:
    """What is to say of the run; little of its files while it goes on."""
    stood = _stand(database, layout)
    found = list(accounting.examine(database, run))
    if _is_alive(database, run):
        return [*found, note("files", "the run goes on: they are compared once it has ended")]
    found += [_survivors(layout, run), leftovers.slots(layout, run)]
    found += recorded_files.examine(database, layout, run)
    found += model_calls.examine(database, layout, run)
    found += _derived(database, layout, run)
    if _stand(database, layout) != stood:
        return [note("files", "a run began while they were looked at", "`penstock doctor` once more")]
    return found


def _stand(database: Database, layout: Layout) -> tuple[object, ...]:
    """What differs if anybody begins or goes on with a run."""
    newest = database.all("runs_newest_first", {"most": 1})
    number = newest[0]["run_no"] if newest else 0
    return number, facts.epoch_of(database, number), _holder(layout)


def _survivors(layout: Layout, run: Row) -> Finding:
    folder = layout.run(run["run_id"])
    try:
        groups = supervisor.groups_in(folder.groups.read_bytes())
    except FileNotFoundError:
        groups = {}
    alive = list(supervisor.processes())
    left = sorted(supervisor.survivors(alive, groups, run["run_id"], str(folder.root)))
    if not left:
        return ok("processes", "none of the run is alive")
    named = " ".join(map(str, left))
    told = f"{len(left)} of the run are alive, and nobody runs it: {named}"
    if run["state"] in ("running", "interrupted", "waiting"):
        return problem("processes", told, f"`penstock resume {run['run_id']}` ends them first; or: kill {named}")
    help = f"its commands left them in the background; if they are not wanted: kill {named}"
    return note("processes", told, help)


def _derived(database: Database, layout: Layout, run: Row) -> Iterator[Finding]:
    yield derived_files.compare(derived_files.log_file(database, layout, run))
    calls = derived_files.calls_file(database, layout, run)
    if calls is not None:
        yield derived_files.compare(calls)
    steps = database.all("steps_of", {"run_no": run["run_no"]})
    for step in steps:
        yield derived_files.compare(derived_files.records_file(database, layout, run, step))
    appended = {step["step_id"]: _append_rows(database, run, step) for step in steps}
    if not any(appended.values()):
        return
    try:
        workflow = _workflow(layout, run)
    except (PenstockError, OSError) as error:
        yield note("append targets", f"not compared: the run's copy of the workflow does not load: {error}")
        return
    for step in steps:
        pieces = _pieces(workflow, workflow.step(step["step_id"]))
        for file in appended[step["step_id"]]:
            yield _appended(database, layout, run, step, file, pieces.get(file["path"]))


def _append_rows(database: Database, run: Row, step: Row) -> list[Row]:
    return database.all("append_targets", {"run_no": run["run_no"], "step_no": step["step_no"]})


def _appended(database: Database, layout: Layout, run: Row, step: Row, file: Row, piece: int | None) -> Finding:
    if piece is None:
        return note(file["path"], "not compared: its name depends on an environment that is another one now")
    return derived_files.compare(derived_files.append_file(database, layout, run, step, file, piece))


def _workflow(layout: Layout, run: Row) -> Workflow:
    told = facts.options_of(run).get("vars")
    variables = {str(name): str(value) for name, value in told.items()} if isinstance(told, dict) else {}
    text = layout.run(run["run_id"]).snapshot.read_text(encoding="utf-8")
    return load(layout.folder / run["workflow"], variables, text)


def _pieces(workflow: Workflow, step: Step) -> dict[str, int]:
    """The number of the piece that each append target of the step is made of, by its path."""
    env = {**os.environ, **dict(workflow.env), **dict(step.env)}
    targets = step.script.targets
    return {fixed_path(target, env) or "": target.piece for target in targets if target.piece is not None}
