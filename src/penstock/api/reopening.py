"""What `resume` is asked to take back or to settle, before the run goes on. Each is recorded with who and when.

First everything is looked at, and what must be refused is refused; then all changes are one transaction; then the
files of what was taken back are moved.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import cast

from penstock.api.clock import CLOCK
from penstock.api.inputs import difference, digests
from penstock.core.approval import Approve
from penstock.core.canon import item_key
from penstock.core.errors import OperatorError, UsageError
from penstock.core.sampling import GateState
from penstock.core.states import RunState, StepState
from penstock.core.views import Resumption, RunView
from penstock.core.work import UNREAD, Form, Item, Outcome, Record, Task, Verdict
from penstock.core.workflow import FileSource, Step, StepSource, Workflow
from penstock.rules.filling import uses_place
from penstock.rules.sampled_steps import written_before
from penstock.store import approvals, gates, reopen, shown
from penstock.store.anew import begin_rest, draw_again
from penstock.store.database import Row
from penstock.store.facts import steps_at_hand
from penstock.store.inputs import look
from penstock.store.journal import NO_ITEM, Journal
from penstock.store.layout import Layout, move
from penstock.store.targets import written

SHUT = (GateState.FAILED, GateState.INCONCLUSIVE)
"""Where a gate stands that lets nothing through without a person's word."""

ANSWERED = (StepState.SUCCEEDED.value, StepState.WAITING.value)
"""Where a step stands to which a person may have said yes; it waits until its run goes on."""


def refuse(view: RunView, later: str | None, asked: Resumption) -> None:
    """UsageError if the run cannot go on in the way that is asked for. `later` is a newer run of its workflow."""
    gated = view.state == RunState.REJECTED.value and view.gate is not None and view.gate.state in SHUT
    unended = view.state in (RunState.INTERRUPTED.value, RunState.WAITING.value) or gated
    after = view.superseded_by or later
    if after is not None and (unended or asked.failed):
        raise UsageError(
            f"run {view.id} cannot be resumed: run {after} came after it and moved its files",
            f"`penstock resume {after}`, or start a new run",
        )
    if view.state == RunState.RUNNING.value:
        raise UsageError(f"run {view.id} is running", "`penstock status` shows it")
    if unended or asked.failed:
        return
    again = ", or `penstock resume --failed` does failed items again" if view.state == RunState.FAILED.value else ""
    ended = f"{'was' if view.state == RunState.REJECTED.value else 'has'} {view.state}"
    raise UsageError(f"run {view.id} {ended}: there is nothing to resume", f"`penstock run` starts a new one{again}")


@dataclass(frozen=True, slots=True)
class Reopened:
    """What was done, a sentence each; and the tasks in flight (`STEP` or `STEP:KEY`) that may be done again."""

    told: tuple[str, ...]
    redo: frozenset[str]


def apply(journal: Journal, layout: Layout, workflow: Workflow, run: Row, asked: Resumption) -> Reopened:
    """Does what is asked. OperatorError, with nothing changed, if any of it cannot be done."""
    flying = journal.database.all("tasks_in_flight", {"run_no": run["run_no"]})
    redo = [task for word in asked.redo for task in _meant(word, flying)]
    settled = [(task, Verdict(verdict)) for word, verdict in asked.settle for task in _meant(word, flying)]
    change = _Change(journal, layout, workflow, run)
    change.plan(asked)
    gate = gates.standing(journal.database, run["run_no"])
    if asked.expand:
        _refuse_expansion(run, gate)
    with journal.together():
        change.make()
        if gate is not None and gate.state in SHUT and (asked.expand or change.made):
            begin_rest(journal, workflow, run["run_no"])
        if asked.expand:
            gates.pass_by(journal, run["run_no"], getpass.getuser(), CLOCK.now())
            change.record("expand", "sample", "the whole run follows, whatever the gate found")
        elif gate is not None and gate.state in SHUT and change.made:
            gates.ask_again(journal, run["run_no"])
            change.record("gate", "sample", "the gate is asked again")
        elif gate is not None and gate.state is GateState.SAMPLING and change.made:
            draw_again(journal, workflow, run["run_no"])
        for task in redo:
            change.record("redo", _place(task), f"{_place(task)} is done again")
        for task, verdict in settled:
            change.settle(task, verdict)
        for cap, amount in asked.budget:
            change.record("budget", cap, f"{cap} is {amount} from now on")
    reopen.release_files(journal, layout, run)
    return Reopened(tuple(change.told), frozenset(map(_place, redo)))


def _refuse_expansion(run: Row, gate: gates.Standing | None) -> None:
    """UsageError if there is no gate that could be overridden."""
    if gate is None:
        raise UsageError(f"run {run['run_id']} began without a sample", "`penstock resume` goes on with it")
    if gate.state is GateState.SAMPLING:
        raise UsageError(
            f"the gate of run {run['run_id']} has not been asked",
            "`penstock resume` goes on with the sample, and a run begun with --sample has no gate",
        )


def _meant(word: str, flying: list[Row]) -> list[Row]:
    """The tasks in flight that `STEP` or `STEP:KEY` means: all of the step, or the one whose key is or begins so."""
    step_id, _, key = word.partition(":")
    of_step = [task for task in flying if task["step_id"] == step_id]
    found = [task for task in of_step if not key or _key(task) == key]
    found = found or [task for task in of_step if _key(task).startswith(key)]
    if len(found) == 1 or (found and not key):
        return found
    there = ", ".join(_place(task) for task in flying[:5])
    raise UsageError(
        f"{word} means {len(found) or 'no'} task{'s' if len(found) != 1 else ''} in flight",
        f"in flight: {there}" if flying else "nothing is in flight",
    )


def _key(task: Row) -> str:
    return item_key(task["hash"], task["occurrence"])


def _place(task: Row) -> str:
    single = task["hash"] == NO_ITEM.digest
    return str(task["step_id"]) if single else f"{task['step_id']}:{_key(task)}"


# --- steps that are opened again ---------------------------------------------------------------


@dataclass(slots=True)
class _How:
    """Why and how a step is opened again.

    `whole`: it is done again from its beginning, and nothing else matters; `failed`: so many of its items are done
    again; `below`: it streams from a step that is open again; `moved`: how its input file has changed; `void`: how what
    a person approved has changed, so that the step asks again.
    """

    row: Row
    whole: bool = False
    failed: int = 0
    below: str | None = None
    moved: str | None = None
    void: str | None = None


class _Change:
    """Changes to one run that does not run."""

    def __init__(self, journal: Journal, layout: Layout, workflow: Workflow, run: Row) -> None:
        self._journal = journal
        self._layout = layout
        self._workflow = workflow
        self._run = run
        self._how: dict[str, _How] = {}
        self.told: list[str] = []

    def record(self, kind: str, subject: str, what: str) -> None:
        """The sentence is told, and in the journal with who said so."""
        self._journal.event(self._run["run_no"], kind, subject, f"{what} ({getpass.getuser()})")
        self.told.append(what)

    # --- what is to be done --------------------------------------------------------------------

    def plan(self, asked: Resumption) -> None:
        """Finds the steps to open again: what failed, what reads a changed file, and what stands on those.

        OperatorError if a file has changed and `--reread` does not allow that, or if a step that is
        `idempotent: false` would have to be done again as a whole.
        """
        rows = self._journal.database.all("steps_of", {"run_no": self._run["run_no"]})
        begun = [row for row in rows if row["state"] != StepState.PENDING.value or row["started_at"] is not None]
        found = {row["step_id"]: row for row in begun}
        void: dict[str, _How] = {}
        self._find(found, asked)
        while asked.failed and (more := self._asked_again(found, {row["step_id"] for row in rows} - set(found))):
            void |= more
            self._how = dict(void)
            self._find(found, asked)

    def _find(self, found: Mapping[str, Row], asked: Resumption) -> None:
        """How each step that has begun is opened again, as far as it is; `found` are the rows of those."""
        gate = gates.standing(self._journal.database, self._run["run_no"])
        sampling, shut = gate is not None and gate.state is GateState.SAMPLING, gate is not None and gate.state in SHUT
        for step in _in_order(self._workflow):
            if step.id not in found or step.id in self._how:
                continue
            how = self._how_of(step, found[step.id], asked.failed)
            if how.moved is not None and (sampling or (shut and not asked.expand)):
                raise _drawn_from(step, how.moved, shut)
            if how.moved is not None and not asked.reread:
                raise _changed(step, how.moved, asked)
            if how.whole and not step.idempotent and reopen.has_effects(self._journal, how.row["step_no"]):
                raise OperatorError(
                    f"step {step.id} has run, is `idempotent: false`, and would have to be done again",
                    "start a new run when that is what you want",
                )
            if how.whole or how.failed or how.below or how.moved:
                self._how[step.id] = how

    def _how_of(self, step: Step, row: Row, failed: bool) -> _How:
        above = {need.step for need in step.needs if need.step in self._how}
        streams = step.foreach.step if isinstance(step.foreach, StepSource) and not step.barrier else None
        if above and (above != {streams} or row["started_at"] is None):
            return _How(row, whole=True)
        count = reopen.count_failed(self._journal, row["step_no"], UNREAD) if failed else 0
        if failed and not count and row["state"] == StepState.FAILED.value:
            return _How(row, whole=True)
        again = row["state"] == StepState.PENDING.value and written_before(self._workflow, step)
        moved = None if again else difference(self._journal, self._layout, self._workflow, step, row)
        return _How(row, failed=count, below=streams if above else None, moved=moved)

    def _asked_again(self, found: Mapping[str, Row], unbegun: Set[str]) -> dict[str, _How]:
        """The steps whose person has said yes to what has changed since, and on which a step stands that is to begin.

        A step that has ended well, and stays so, is no reason to ask anybody again.
        """
        begins = unbegun | {step_id for step_id, how in self._how.items() if how.whole}
        above = {step_id for each in begins for step_id in self._workflow.before(self._workflow.step(each))}
        asking = [
            step.id
            for step in self._workflow.steps
            if isinstance(step.spec, Approve) and step.id in above & found.keys() - self._how.keys()
        ]
        changes = {step_id: self._changes(found[step_id]) for step_id in asking}
        return {
            step_id: _How(found[step_id], whole=True, void="; ".join(told)) for step_id, told in changes.items() if told
        }

    def _changes(self, row: Row) -> list[str]:
        """What is no longer as the step's person approved it; nothing where no yes stands."""
        newest = approvals.newest(self._journal.database, row["step_no"])
        if row["state"] not in ANSWERED or newest is None or newest[1] is None or not newest[1].approved:
            return []
        steps = {step["step_id"]: step["step_no"] for step in steps_at_hand(self._journal.database, self._run)}
        return shown.changes(self._journal.database, self._layout.folder, steps, newest[0])

    # --- and is done ---------------------------------------------------------------------------

    def make(self) -> None:
        """The planned steps are open again, in one transaction of the caller's."""
        run_no = self._run["run_no"]
        for step_id, how in self._how.items():
            if how.failed:
                reopen.redo_failed(self._journal, run_no, how.row, UNREAD, CLOCK.now())
                self.record("redo-failed", step_id, f"{step_id}: {how.failed} failed items are done again")
        moved = {step_id for step_id, how in self._how.items() if how.moved}
        for step_id in moved:
            self._move(step_id)
        for step_id, how in self._how.items():
            if how.whole:
                self._reset(step_id, how)
        for how in self._how.values():
            if how.below and self._root(how) not in moved:
                reopen.continue_below(self._journal, run_no, how.row, self._how[how.below].row["step_no"])

    def _root(self, how: _How) -> str:
        """The step at which the stream that this one is part of was opened again."""
        while how.below:
            how = self._how[how.below]
        return str(how.row["step_id"])

    def _reset(self, step_id: str, how: _How) -> None:
        if how.void is not None:
            self.record("ask-again", step_id, f"{step_id} is asked again: what it showed has changed: {how.void}")
        elif reopen.has_effects(self._journal, how.row["step_no"]):
            self.record("reset", step_id, f"{step_id} is done again")
        reopen.reset(self._journal, self._run["run_no"], how.row)

    def _move(self, root: str) -> None:
        """The file's rows, and what streams from them, have their new places; rows that are gone are taken back."""
        run_no, how, step = self._run["run_no"], self._how[root], self._workflow.step(root)
        source = cast(FileSource, step.foreach)
        stream = [root, *(step_id for step_id, other in self._how.items() if other.below and self._root(other) == root)]
        moving = reopen.Moving(self._journal, how.row["step_no"], digests(self._layout, source))
        for step_id in stream:
            below, row = self._how[step_id].below, self._how[step_id].row
            moving.drop(row, by_place=uses_place(self._workflow.step(step_id)))
            if below:
                reopen.continue_below(self._journal, run_no, row, self._how[below].row["step_no"])
            reopen.reopen(self._journal, run_no, row)
        moving.shift(self._how[step_id].row for step_id in stream)
        moving.end()
        reopen.set_opened(self._journal, how.row["step_no"], look(self._layout.folder, source.path))
        told = f"{source.path} is read anew ({how.moved}): {moving.kept} rows that were read are still in it"
        self.record("reread", root, told)

    # --- tasks that are not to be done again without a word -------------------------------------

    @property
    def made(self) -> bool:
        """Whether any step is open again."""
        return bool(self._how)

    def settle(self, task: Row, verdict: Verdict) -> None:
        """The task that was in flight has the verdict that a person gives it.

        Accepted, its record is an empty text and its files are what stands there; failed, they are put aside.
        """
        files = [row["path"] for row in self._journal.database.all("files_of_task", (task["task_no"],))]
        there = [path for path in files if (self._layout.folder / path).is_file()]
        if verdict is Verdict.FAILED:
            for path in there:
                move(self._layout.folder / path, self._layout.run(self._run["run_id"]).failed / path)
        accepted = verdict is Verdict.ACCEPTED
        item = Item(task["i"], _key(task), task["hash"], b"") if task["hash"] != NO_ITEM.digest else None
        outcome = Outcome(
            Task(self._run["run_id"], task["step_id"], task["task_no"], item),
            verdict,
            record=Record(Form.TEXT, b"") if accepted else None,
            reason=f"settled by {getpass.getuser()}",
            files=tuple(written(self._layout.folder, path) for path in there) if accepted else (),
        )
        self._journal.commit(self._run["run_no"], task["step_no"], outcome, None, None)
        self.record("settle", _place(task), f"{_place(task)} is {verdict.value}")


def _in_order(workflow: Workflow) -> Iterable[Step]:
    """The steps, each after what it needs."""
    graph = {step.id: {need.step for need in step.needs} for step in workflow.steps}
    return [workflow.step(step_id) for step_id in TopologicalSorter(graph).static_order()]


def _drawn_from(step: Step, how: str, shut: bool) -> OperatorError:
    source = cast(FileSource, step.foreach)
    expand = "`penstock resume --expand --reread` lets the file as it is now follow without\n        a gate; or "
    return OperatorError(
        f"{source.path} has changed since the sample was drawn from it: {how}",
        f"{expand if shut else ''}put it back as it was, or start a new run, which draws a sample of its own",
    )


def _changed(step: Step, how: str, asked: Resumption) -> OperatorError:
    source = cast(FileSource, step.foreach)
    words = " ".join(["--failed"] * asked.failed + ["--expand"] * asked.expand + ["--reread"])
    return OperatorError(
        f"{source.path} has changed since step {step.id} began to read it: {how}",
        f"`penstock resume {words}` goes on with the file as it is now (rows that are still in it keep\n"
        "        their outcomes), or start a new run",
    )
